"""The little HTTP that the stack needs: GET one page from a child, and answer GETs with a few pages of its own."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus

from services.shared.runtime.http_pages import Page

_LONGEST_REQUEST = 8 * 1024  # bytes of a request's head, which nobody who reads metrics comes near
_LONGEST_PAGE = 16 * 1024 * 1024  # bytes of a child's metrics
_REQUEST_SECONDS = 5.0


Handler = Callable[[], Awaitable[Page]]


class FetchError(Exception):
    """A page cannot be had."""


async def fetch(host: str, port: int, path: str, seconds: float) -> Page:
    """GET a page.

    Raises:
        FetchError: Nobody answers in time, or with something else than HTTP.
    """
    try:
        async with asyncio.timeout(seconds):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(f"GET {path} HTTP/1.0\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
                answer = await reader.read(_LONGEST_PAGE)
                while more := await reader.read(_LONGEST_PAGE):
                    answer += more
                    if len(answer) > _LONGEST_PAGE:
                        raise FetchError("the page is too long")
            finally:
                writer.close()
    except (OSError, TimeoutError) as error:
        raise FetchError(str(error) or "no answer in time") from error
    head, _, body = answer.partition(b"\r\n\r\n")
    version, _, rest = head.partition(b" ")
    status = rest[:3]
    if not version.startswith(b"HTTP/1.") or not status.isdigit():
        raise FetchError("the answer is not HTTP")
    return Page(HTTPStatus(int(status)), body)


async def serve(host: str, port: int, pages: Mapping[str, Handler]) -> asyncio.Server:
    """Answer GETs of some paths until the server is closed.

    Raises:
        OSError: The port is taken, or the host is none of ours.
    """

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            async with asyncio.timeout(_REQUEST_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(_response(await _page(head, pages), with_body=not head.startswith(b"HEAD ")))
                await writer.drain()
        writer.close()

    return await asyncio.start_server(answer, host, port, limit=_LONGEST_REQUEST)


async def _page(head: bytes, pages: Mapping[str, Handler]) -> Page:
    method, _, rest = head.partition(b" ")
    path = rest.split(b" ")[0].split(b"?")[0].decode("latin-1")
    if method not in (b"GET", b"HEAD"):
        return Page(HTTPStatus.METHOD_NOT_ALLOWED, b"only GET\n")
    handler = pages.get(path)
    if handler is None:
        return Page(HTTPStatus.NOT_FOUND, f"there are {', '.join(pages)}\n".encode())
    return await handler()


def _response(page: Page, *, with_body: bool) -> bytes:
    head = (
        f"HTTP/1.1 {page.status.value} {page.status.phrase}\r\n"
        f"Content-Type: {page.content_type}\r\n"
        f"Content-Length: {len(page.body)}\r\n"
        "Connection: close\r\n\r\n"
    )
    return head.encode() + (page.body if with_body else b"")
