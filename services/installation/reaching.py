"""Reaching the database to look at it or to prepare it, and saying in a sentence why it cannot be reached."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

from services.cdc.control import ControlConnection
from services.cdc.errors import ConnectionLostError, StatementError
from services.shared.runtime.lifecycle import Refusal
from services.shared.runtime.redaction import mask_secrets
from services.shared.runtime.upstream import Upstream
from services.shared.upstream_tls import make_upstream_tls

AnyControl = TypeVar("AnyControl", bound=ControlConnection)


class Unreachable(Refusal):
    """There is no connection to the database. The message says why, and what to do."""


@asynccontextmanager
async def reaching(
    upstream: Upstream, application_name: str, kind: type[AnyControl], *, read_only: bool
) -> AsyncIterator[AnyControl]:
    """Hold a connection open.

    Args:
        upstream: Where to.
        application_name: What the session calls itself.
        kind: What kind of connection.
        read_only: Whether Postgres is to refuse whatever would change something.

    Raises:
        Unreachable: There is none, or it was lost, or Postgres refused what was asked.
        Refusal: A certificate that the URL names cannot be used.
    """
    if upstream.sslmode != "disable":
        make_upstream_tls(upstream)  # says which file is wrong, where the drivers do not
    try:
        control = await kind.open(upstream, application_name, read_only=read_only)
        try:
            yield control
        finally:
            await control.close()
    except ConnectionLostError as error:
        raise Unreachable(explain_failure(upstream, str(error))) from error
    except StatementError as error:
        raise Unreachable(f"Postgres refuses: {mask_secrets(str(error))}") from error


def explain_failure(upstream: Upstream, error: str) -> str:
    """Say in a sentence why a database cannot be reached, and what to do."""
    place = f"{upstream.host}:{upstream.port}"
    said = mask_secrets(" ".join(error.split()))
    if "password authentication failed" in said and upstream.password is None:
        return f'The server asks for a password for the role "{upstream.user}": put it in the URL. ({said})'
    for clue, sentence in (
        ("password authentication failed", f'The password for the role "{upstream.user}" is wrong.'),
        ("no password supplied", f'The server asks for a password for the role "{upstream.user}": put it in the URL.'),
        ("no pg_hba.conf entry", f'The server does not let "{upstream.user}" in from here: add a line to pg_hba.conf.'),
        ("too many clients", "The server has no free connection: raise max_connections, or close some."),
        ("SSL upgrade", "The server does not speak TLS, and the URL demands it: change sslmode."),
        (
            "certificate verify failed",
            "The server's certificate cannot be verified: name its authority in sslrootcert.",
        ),
        ("unsupported startup parameter", f"A pooler answers at {place}: name Postgres itself in database_url."),
        ("another backend answers", f"A pooler answers at {place}: name Postgres itself in database_url."),
        ("starting up", f"The server at {place} is still starting: try again in a moment."),
        ("Connect call failed", f"Nothing listens at {place}: start Postgres, or correct host and port."),
        ("Connection refused", f"Nothing listens at {place}: start Postgres, or correct host and port."),
        ("TimeoutError", f"{place} does not answer: correct host and port, or open the firewall."),
        ("Name or service not known", f'The host "{upstream.host}" is not known: correct its name.'),
        ("name resolution", f'The host "{upstream.host}" cannot be looked up: correct its name.'),
        (
            "No such file or directory",
            f"There is no Postgres socket in {upstream.host}: start Postgres, or name a host.",
        ),
    ):
        if clue in said:
            return f"{sentence} ({said})"
    if "database" in said and "does not exist" in said:
        return f'There is no database "{upstream.database}" at {place}: create it, or name another. ({said})'
    if "role" in said and "does not exist" in said:
        return f'There is no role "{upstream.user}" at {place}: create it, or name another. ({said})'
    return f"The database at {place} cannot be reached: {said}"
