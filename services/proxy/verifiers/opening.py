"""The sources of verifiers that the settings name, tried at start: what cannot work is refused before anybody comes."""

from services.proxy.control import ConnectControl
from services.proxy.verifiers.auth_query import AuthQuery
from services.proxy.verifiers.finder import VerifierFinder, VerifierSource
from services.proxy.verifiers.users_file import UsersFile
from services.shared.runtime.authentication import DEFAULT_AUTH_QUERY, NO_QUERY
from services.shared.runtime.settings import CacheSettings


async def open_verifiers(settings: CacheSettings, connect: ConnectControl) -> VerifierFinder:
    """Return the sources of a cache whose setting is `auth = scram`.

    Args:
        settings: The cache's settings.
        connect: Opens control connections.

    Raises:
        Refusal: The users file is no good, or the query cannot be run and there is nothing else. A default query is
            no more than tried where there is a users file.
    """
    sources: list[tuple[str, VerifierSource]] = []
    file = None if settings.users_file is None else UsersFile(settings.users_file)
    if settings.auth_query != NO_QUERY:
        optional = file is not None and settings.auth_query == DEFAULT_AUTH_QUERY
        query = AuthQuery(connect, settings.auth_query, optional=optional)
        await query.check(settings.client_upstream.user)
        sources.append(("auth_query", query))
    if file is not None:
        sources.append(("users_file", file))
    return VerifierFinder(sources)
