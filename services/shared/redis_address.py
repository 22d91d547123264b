"""A Redis URL, taken apart. Pure.

    redis://[USER:PASSWORD@]HOST[:PORT][/DB]                              one server
    unix://[USER:PASSWORD@]/PATH[?db=DB]                                  one server, by its socket
    redis+sentinel://[USER:PASSWORD@]HOST[:PORT][,…]/SERVICE[/DB]         whom Sentinels call the primary
    redis+cluster://[USER:PASSWORD@]HOST[:PORT][,…]                       the primary in a cluster that has our slot

With `rediss` in place of `redis` they are spoken to by TLS. Certificate and host name are verified then, unless the URL
itself says otherwise. What the URL does not mean is refused by name, so that nobody takes a misspelt option for one.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import NoReturn
from urllib.parse import parse_qsl, quote, unquote, urlsplit

DEFAULT_PORT = 6379
DEFAULT_SENTINEL_PORT = 26379

_FORMS = "redis://, rediss://, unix://, redis+sentinel://, rediss+sentinel://, redis+cluster:// or rediss+cluster://"
_BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_TLS_OPTIONS = frozenset((*_FILES, "ssl_password", "ssl_cert_reqs", "ssl_check_hostname"))
_SENTINEL_OPTIONS = frozenset(("sentinel_user", "sentinel_password", "sentinel_tls"))


class Topology(StrEnum):
    """What stands behind the address."""

    SERVER = "server"
    SOCKET = "socket"
    SENTINEL = "sentinel"
    CLUSTER = "cluster"


@dataclass(frozen=True, slots=True)
class RedisTls:
    """How TLS is spoken.

    Attributes:
        ca_certs: PEM file of those who may have signed the server's certificate; empty: those the system trusts.
        certificate, key: PEM files that we show the server; empty: none.
        key_password: Decrypts the key.
        verify: Whether the server's certificate has to be signed by one of them.
        check_hostname: Whether it has to be for the host that the URL names.
    """

    ca_certs: str = ""
    certificate: str = ""
    key: str = ""
    key_password: str = field(default="", repr=False)
    verify: bool = True
    check_hostname: bool = True


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """Where a Redis is and who we are there.

    Attributes:
        topology: What stands behind it.
        nodes: The server; or the Sentinels, or some nodes of the cluster.
        path: The socket.
        service: What the Sentinels call the servers.
        database: Number of the database.
        user, password: Of the Redis itself.
        tls: None: without.
        sentinel_user, sentinel_password, sentinel_tls: The same for the Sentinels.
    """

    topology: Topology
    nodes: tuple[tuple[str, int], ...] = ()
    path: str = ""
    service: str = ""
    database: int = 0
    user: str = ""
    password: str = field(default="", repr=False)
    tls: RedisTls | None = None
    sentinel_user: str = ""
    sentinel_password: str = field(default="", repr=False)
    sentinel_tls: RedisTls | None = None

    @property
    def place(self) -> str:
        """Where it is, for people; without anything secret."""
        if self.topology is Topology.SOCKET:
            return self.path
        nodes = ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.nodes)
        return f"{self.service} of the Sentinels {nodes}" if self.topology is Topology.SENTINEL else nodes

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not be shown to anybody."""
        key_password = self.tls.key_password if self.tls is not None else ""
        return tuple(filter(None, (self.password, self.sentinel_password, key_password)))


def parse_redis_url(url: str) -> RedisAddress:
    """Take a URL apart.

    Raises:
        ValueError: It is none of ours; the text says what would be, and holds nothing of the URL that may be secret.
    """
    scheme, separator, rest = url.partition("://")
    base, _, kind = scheme.partition("+")
    if not separator or (base, kind) not in _TOPOLOGIES:
        raise ValueError(f"it should begin with {_FORMS}")
    topology = _TOPOLOGIES[base, kind]
    parts = urlsplit(f"//{rest}")
    options = _options(parts.query, topology, with_tls=base == "rediss")
    user, password, hosts = _credentials(parts.netloc)
    tls = _tls(options) if base == "rediss" else None
    if topology is Topology.SOCKET:
        path, database = unquote(hosts + parts.path), _number(options.get("db", "0"))
        if not path.startswith("/"):
            raise ValueError("it should name a socket by its absolute path, as in unix:///run/redis.sock")
        return RedisAddress(topology, path=path, database=database, user=user, password=password)
    service, database = _service_and_database(topology, parts.path, options)
    sentinel_tls = tls if _boolean("sentinel_tls", options.get("sentinel_tls", "true")) else None
    return RedisAddress(
        topology,
        nodes=_nodes(hosts, DEFAULT_SENTINEL_PORT if topology is Topology.SENTINEL else DEFAULT_PORT, topology),
        service=service,
        database=database,
        user=user,
        password=password,
        tls=tls,
        sentinel_user=options.get("sentinel_user", ""),
        sentinel_password=options.get("sentinel_password", ""),
        sentinel_tls=sentinel_tls,
    )


def with_checked_files(url: str) -> str:
    """Return the URL with the files that it names as absolute paths: services of a stack run in another folder.

    Raises:
        ValueError: One of them is no file.
    """
    head, separator, query = url.partition("?")
    if not separator:
        return url
    options = []
    for name, value in parse_qsl(query):
        if name in _FILES:
            path = Path(value).absolute()
            if not path.is_file():
                raise ValueError(f"{name} should name a file, and {value} is none")
            options.append(f"{name}={quote(str(path))}")
        else:
            options.append(f"{name}={quote(value, safe='')}")
    return f"{head}?{'&'.join(options)}"


_TOPOLOGIES = {
    ("redis", ""): Topology.SERVER,
    ("rediss", ""): Topology.SERVER,
    ("unix", ""): Topology.SOCKET,
    ("redis", "sentinel"): Topology.SENTINEL,
    ("rediss", "sentinel"): Topology.SENTINEL,
    ("redis", "cluster"): Topology.CLUSTER,
    ("rediss", "cluster"): Topology.CLUSTER,
}


def _options(query: str, topology: Topology, *, with_tls: bool) -> dict[str, str]:
    allowed = set() if topology is Topology.CLUSTER else {"db"}
    if with_tls:
        allowed |= _TLS_OPTIONS
    if topology is Topology.SENTINEL:
        allowed |= _SENTINEL_OPTIONS
    options = dict(parse_qsl(query, keep_blank_values=True))
    for name in options:
        if name in _TLS_OPTIONS and not with_tls:
            raise ValueError(f"{name} means nothing without TLS, which rediss:// speaks")
        if name not in allowed:
            may = ", ".join(sorted(allowed)) or "none"
            raise ValueError(f"it has an option that means nothing here ({name[:40]}); those that do: {may}")
    return options


def _credentials(netloc: str) -> tuple[str, str, str]:
    """Split user, password and hosts; an @ in a password may stand as it is."""
    credentials, _, hosts = netloc.rpartition("@")
    user, _, password = credentials.partition(":")
    return unquote(user), unquote(password), hosts


def _nodes(hosts: str, default_port: int, topology: Topology) -> tuple[tuple[str, int], ...]:
    nodes = tuple(_node(node, default_port) for node in hosts.split(","))
    if topology is Topology.SERVER and len(nodes) > 1:
        raise ValueError("several servers are named as redis+sentinel://… or redis+cluster://…")
    return nodes


def _node(text: str, default_port: int) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{text}")
        return unquote(parts.hostname or "localhost"), parts.port or default_port
    except ValueError:
        raise ValueError("a host in it should read HOST:PORT, and an IPv6 host stand in brackets") from None


def _service_and_database(topology: Topology, path: str, options: dict[str, str]) -> tuple[str, int]:
    words = [unquote(word) for word in path.split("/") if word]
    service = ""
    if topology is Topology.SENTINEL:
        if not words:
            raise ValueError("it should name the service, as in redis+sentinel://HOST:26379,HOST:26379/mymaster")
        service = words.pop(0)
    if len(words) > 1:
        raise ValueError("its path has too many parts")
    database = _number(words[0] if words else options.get("db", "0"))
    if topology is Topology.CLUSTER and database:
        raise ValueError("a Redis Cluster has no database but 0")
    return service, database


def _tls(options: dict[str, str]) -> RedisTls:
    certificates = options.get("ssl_cert_reqs", "required")
    if certificates not in ("required", "none"):
        raise ValueError("ssl_cert_reqs should be required or none")
    if "ssl_keyfile" in options and "ssl_certfile" not in options:
        raise ValueError("ssl_keyfile should come with ssl_certfile")
    return RedisTls(
        ca_certs=options.get("ssl_ca_certs", ""),
        certificate=options.get("ssl_certfile", ""),
        key=options.get("ssl_keyfile", ""),
        key_password=options.get("ssl_password", ""),
        verify=certificates == "required",
        check_hostname=_boolean("ssl_check_hostname", options.get("ssl_check_hostname", "true")),
    )


def _boolean(name: str, value: str) -> bool:
    found = _BOOLEANS.get(value.lower())
    return found if found is not None else _refuse(f"{name} should be true or false")


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else _refuse("its database should be a number")


def _refuse(text: str) -> NoReturn:
    raise ValueError(text)
