"""Where the cached database is: a `DATABASE_URL` taken apart, and written again in one form that every driver reads.

Applications paste what they have: URLs of libpq and of object mappers, and libpq's key/value strings. Whatever names
one server is accepted; what cannot be carried by all of our connections is refused by name.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlencode

DEFAULT_PORT = 5432
SYSTEM_ROOTS = "system"
"""In place of a file in `sslrootcert`: the authorities that this machine trusts."""

_SCHEME = re.compile(r"(?P<scheme>[a-z][a-z0-9]*)(?:\+[a-z0-9_]+)?://", re.IGNORECASE)
_KEY_VALUE = re.compile(r"\s*(\w+)\s*=\s*(?:'((?:[^'\\]|\\.)*)'|((?:[^\s'\\]|\\.)+)|(?=\s|$))\s*")

_TLS_FILES = ("sslrootcert", "sslcert", "sslkey")
_KEPT_PARAMETERS = frozenset({"sslmode", "sslnegotiation", *_TLS_FILES, "options"})
_DROPPED_PARAMETERS = frozenset(
    {
        "application_name",  # ours says which service is connected
        "channel_binding",  # asyncpg has none; clients' logins are bound wherever Postgres offers it (auth = scram)
        "connect_timeout", "keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count",  # ours
        "gssencmode",  # never used by our connections
        "target_session_attrs",  # one server, which has to be the primary
    }
)  # fmt: skip
_SSLMODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_WEAK_SSLMODES = _SSLMODES[:3]  # may end up without TLS
_PLACES = {"host": "host", "port": "port", "user": "user", "password": "password", "dbname": "database"}


@dataclass(frozen=True, slots=True)
class Upstream:
    """One Postgres server and database, and the role of Tidegate's own connections.

    Attributes:
        host: Host name or address; a directory (it begins with `/`) where a unix socket lies.
        port: TCP port, or the number in the socket's name.
        user: Role of our own connections. Clients log in as themselves.
        password: Its password, if it has one; never shown.
        database: The cached database.
        parameters: What else libpq is told (`sslmode`, …), in the order of their names.
    """

    host: str
    port: int
    user: str
    database: str
    password: str | None = field(default=None, repr=False)
    parameters: tuple[tuple[str, str], ...] = ()

    @property
    def socket_path(self) -> str | None:
        """The unix socket's file, or None for TCP."""
        return f"{self.host}/.s.PGSQL.{self.port}" if self.host.startswith("/") else None

    @property
    def sslmode(self) -> str:
        """The `sslmode` of libpq: `prefer` unless the URL says otherwise."""
        return self._parameter("sslmode") or ("verify-full" if self.trusts_system_roots else "prefer")

    @property
    def direct_tls(self) -> bool:
        """Whether TLS begins with the first byte (`sslnegotiation=direct`, Postgres 17 and later)."""
        return self._parameter("sslnegotiation") == "direct"

    @property
    def sslrootcert(self) -> Path | None:
        """Certificates of the authorities that are trusted to name the server, if the URL names a file."""
        named = self._parameter("sslrootcert")
        return Path(named) if named and not self.trusts_system_roots else None

    @property
    def trusts_system_roots(self) -> bool:
        """Whether the authorities that this machine trusts are asked for (`sslrootcert=system`)."""
        return self._parameter("sslrootcert") == SYSTEM_ROOTS

    @property
    def sslcert(self) -> Path | None:
        """Our own certificate, if the URL names one."""
        return Path(named) if (named := self._parameter("sslcert")) else None

    @property
    def sslkey(self) -> Path | None:
        """Its key, if the URL names one."""
        return Path(named) if (named := self._parameter("sslkey")) else None

    def _parameter(self, name: str) -> str:
        return dict(self.parameters).get(name, "")

    @property
    def url(self) -> str:
        """The one form in which all drivers get it. Holds the password."""
        return self._url("" if self.password is None else f":{quote(self.password, safe='')}")

    @property
    def masked_url(self) -> str:
        """The same for people: without the password."""
        return self._url("" if self.password is None else ":***")

    def _url(self, password: str) -> str:
        query = dict(self.parameters)
        if self.host.startswith("/"):
            authority = ""
            query |= {"host": self.host, "port": str(self.port)}
        else:
            authority = f"{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"
        tail = f"?{urlencode(query, quote_via=quote, safe='/')}" if query else ""
        return f"postgresql://{quote(self.user, safe='')}{password}@{authority}/{quote(self.database, safe='')}{tail}"


def parse_upstream(text: str) -> Upstream:
    """Read a Postgres URL or a libpq key/value string.

    Raises:
        ValueError: It names no server we could use. The message says what would be right and repeats no secret.
    """
    text = text.strip()
    return _from_places(_url_places(text) if "://" in text else _key_value_places(text))


def _url_places(text: str) -> dict[str, str]:
    scheme = _SCHEME.match(text)
    if scheme is None or scheme["scheme"].lower() not in ("postgresql", "postgres"):
        raise ValueError("it should begin with postgresql://")
    rest, _, query = text[scheme.end() :].partition("?")
    places = {
        "dbname" if name == "database" else name: value for name, value in parse_qsl(query, keep_blank_values=True)
    }
    credentials, at, address = rest.rpartition("@")
    authority, _, database = address.partition("/")
    if at and "/" in credentials:
        raise ValueError("a / in a user's name or password has to be written as %2F")
    host, port = _split_authority(authority)
    user, _, password = credentials.partition(":")
    written = {"user": user, "password": password, "host": host, "port": port, "dbname": database.rstrip("/")}
    return places | {name: unquote(value) for name, value in written.items() if value}


def _split_authority(authority: str) -> tuple[str, str]:
    if "," in authority:
        raise ValueError("it names several hosts; one cache follows one primary, so name that one")
    if authority.startswith("["):
        host, bracket, port = authority[1:].partition("]")
        if not bracket:
            raise ValueError("the [ of an IPv6 address is not closed")
        return host, port.removeprefix(":")
    host, _, port = authority.partition(":")
    return host, port


def _key_value_places(text: str) -> dict[str, str]:
    places: dict[str, str] = {}
    end = 0
    while end < len(text):
        match = _KEY_VALUE.match(text, end)
        if match is None:
            raise ValueError("it should be postgresql://USER:PASSWORD@HOST:PORT/DATABASE")
        places[match[1].lower()] = re.sub(r"\\(.)", r"\1", match[2] or match[3] or "")
        end = match.end()
    return places


def _from_places(places: dict[str, str]) -> Upstream:
    found = {_PLACES[name]: value for name, value in places.items() if name in _PLACES}
    others = {name: value for name, value in places.items() if name not in _PLACES}
    unknown = sorted(others.keys() - _KEPT_PARAMETERS - _DROPPED_PARAMETERS)
    if unknown:
        raise ValueError(f"its parameter {unknown[0]} cannot be carried by Tidegate's own connections; leave it out")
    if not found.get("user"):
        raise ValueError("it names no user; write postgresql://USER@HOST/DATABASE")
    host = found.get("host") or "localhost"
    if "," in host or any(character.isspace() for character in host):
        raise ValueError("it should name one host")
    kept = {name: _absolute(name, value) for name, value in others.items() if name in _KEPT_PARAMETERS}
    _check_tls(kept)
    return Upstream(
        host=host,
        port=_port(found.get("port", "")),
        user=found["user"],
        database=found.get("database") or found["user"],
        password=found.get("password") or None,
        parameters=tuple(sorted(kept.items())),
    )


def _absolute(name: str, value: str) -> str:
    """Make a file's name mean the same in a process that runs in another folder."""
    return str(Path(value).absolute()) if name in _TLS_FILES and value not in ("", SYSTEM_ROOTS) else value


def _check_tls(parameters: dict[str, str]) -> None:
    """Refuse what libpq refuses, so that all of our connections understand the same.

    Raises:
        ValueError: The parameters contradict each other, or one has no meaning.
    """
    system_roots = parameters.get("sslrootcert") == SYSTEM_ROOTS
    mode = parameters.get("sslmode") or ("verify-full" if system_roots else "prefer")
    negotiation = parameters.get("sslnegotiation") or "postgres"
    if mode not in _SSLMODES:
        raise ValueError(f"its sslmode should be one of {', '.join(_SSLMODES)}")
    if negotiation not in ("postgres", "direct"):
        raise ValueError("its sslnegotiation should be postgres or direct")
    if system_roots and mode != "verify-full":
        raise ValueError(
            "with sslrootcert=system its sslmode should be verify-full: anybody can have such a certificate"
        )
    if negotiation == "direct" and mode in _WEAK_SSLMODES:
        raise ValueError("with sslnegotiation=direct its sslmode should be require, verify-ca or verify-full")


def _port(text: str) -> int:
    if not text:
        return DEFAULT_PORT
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 65536:
        raise ValueError("its port should be a number from 1 to 65535")
    return int(text)
