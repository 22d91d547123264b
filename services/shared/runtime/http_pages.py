"""The little HTTP that a service speaks: GETs of a few pages for whoever watches it, nothing else."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus

_LONGEST_REQUEST = 8 * 1024  # bytes of a request's head; a scraper sends a few hundred
_REQUEST_SECONDS = 5.0  # for a request and its answer: a client that stalls costs no more


@dataclass(frozen=True, slots=True)
class Page:
    """An answer."""

    status: HTTPStatus
    body: bytes
    content_type: str = "text/plain; charset=utf-8"


Handler = Callable[[], Page]


async def serve_pages(host: str, port: int, pages: Mapping[str, Handler]) -> asyncio.Server:
    """Answer GETs of these paths until the server is closed.

    Raises:
        OSError: The port is taken, or the host is none of ours.
    """

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Whoever sends no request, or does not read the answer, is not told why it got none.
        with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            async with asyncio.timeout(_REQUEST_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(_response(_page(head, pages), with_body=not head.startswith(b"HEAD ")))
                await writer.drain()
        writer.close()

    return await asyncio.start_server(answer, host, port, limit=_LONGEST_REQUEST)


def _page(head: bytes, pages: Mapping[str, Handler]) -> Page:
    method, _, rest = head.partition(b" ")
    path = rest.partition(b" ")[0].partition(b"?")[0].decode("latin-1")
    if method not in (b"GET", b"HEAD"):
        return Page(HTTPStatus.METHOD_NOT_ALLOWED, b"only GET\n")
    handler = pages.get(path)
    if handler is None:
        return Page(HTTPStatus.NOT_FOUND, f"there are {', '.join(pages)}\n".encode())
    return handler()


def _response(page: Page, *, with_body: bool) -> bytes:
    head = (
        f"HTTP/1.1 {page.status.value} {page.status.phrase}\r\n"
        f"Content-Type: {page.content_type}\r\n"
        f"Content-Length: {len(page.body)}\r\n"
        "Connection: close\r\n\r\n"
    )
    return head.encode() + (page.body if with_body else b"")
