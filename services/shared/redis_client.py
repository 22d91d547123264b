"""How every part connects to Redis or Valkey: one server, whoever Sentinels call the primary, or a cluster's node.

All keys of a cache are in one hash slot, so one primary has them all, and every connection goes to that one. Who it is
is asked before a connection is made (`redis_primary.py`), again when one fails or a server says that it is not the one,
and once a second, since an old primary that is cut off from the others goes on as if nothing had happened. In a cluster
an ASK is not followed: while a slot is moved its keys are in two places, and a script that runs in one of them would
take for deleted what is in the other. Until it has been moved, what needs Redis waits, and reads go to Postgres.
"""

from enum import StrEnum
from typing import Any, cast

import hiredis
import redis.asyncio
from redis.asyncio.connection import Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    ClusterDownError,
    MasterDownError,
    MovedError,
    ReadOnlyError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError

from services.shared.redis_address import RedisAddress, RedisTls, Topology, parse_redis_url
from services.shared.redis_primary import ClusterPrimary, Node, Primary, SentinelPrimary

_ELSEWHERE = (ReadOnlyError, MovedError, ClusterDownError, MasterDownError)
"""What a server says that is not, or not any more, the one to speak to."""

_NOT_A_CLUSTER_URL = "this is a Redis Cluster: name it as redis+cluster://HOST:PORT,HOST:PORT (or rediss+cluster://)"


class Part(StrEnum):
    """Who a connection belongs to, where others are to see that."""

    CDC = "cdc"
    INVALIDATOR = "invalidator"
    PROXY = "proxy"


def client_name(prefix: str, part: Part) -> str:
    """Return what CLIENT LIST calls the connections of a part.

    Args:
        prefix: What the cache's keys begin with.
        part: The part.
    """
    return f"{prefix}{part}"


def connect(
    redis_url: str, prefix: str, connect_timeout: float, reply_timeout: float | None, part: Part | None = None
) -> "redis.asyncio.Redis":
    """Make a client that repeats nothing by itself, since whoever sent a command decides whether it may run twice.

    Args:
        redis_url: Where Redis is; it may hold passwords.
        prefix: What the cache's keys begin with; in a cluster it decides which primary is spoken to.
        connect_timeout: Seconds that finding the primary may take, and so many that connecting may.
        reply_timeout: Seconds that one reply may take; None for a client that blocks, or whose caller has a time-out.
        part: Whose its connections are, where others are to see it.

    Raises:
        ValueError: The URL is none.
    """
    address = parse_redis_url(redis_url)
    options = _options(address.user, address.password, address.tls, connect_timeout)
    options |= {"db": address.database, "socket_timeout": reply_timeout}
    if part is not None:
        options["client_name"] = client_name(prefix, part)
    if address.topology is Topology.SOCKET:
        pool = redis.asyncio.ConnectionPool(_SocketConnection, path=address.path, **options)
        return redis.asyncio.Redis.from_pool(pool)
    kind = _TlsConnection if address.tls is not None else _TcpConnection
    primary = _primary(address, prefix, connect_timeout)
    host, port = address.nodes[0]
    return redis.asyncio.Redis.from_pool(_Pool(kind, primary=primary, host=host, port=port, **options))


async def memory_policy(client: "redis.asyncio.Redis") -> str:
    """Return the maxmemory-policy of a Redis; empty where it does not say.

    Raises:
        RedisError, OSError: It does not answer.
    """
    commands: Any = client  # not typed
    return str((await commands.info("memory")).get("maxmemory_policy", ""))


def _options(user: str, password: str, tls: RedisTls | None, connect_timeout: float) -> dict[str, Any]:
    """Return what connections to a server are made with."""
    options: dict[str, Any] = {
        "username": user or None,
        "password": password or None,
        "protocol": 2,  # one form of replies, whatever the client's default is
        "socket_connect_timeout": connect_timeout,
        "retry": Retry(NoBackoff(), 0),
        "driver_info": None,  # CLIENT SETINFO costs two round trips, and is one more right
    }
    if tls is not None:
        options |= {
            "ssl_cert_reqs": "required" if tls.verify else "none",
            "ssl_check_hostname": tls.verify and tls.check_hostname,
            "ssl_ca_certs": tls.ca_certs or None,
            "ssl_certfile": tls.certificate or None,
            "ssl_keyfile": tls.key or None,
            "ssl_password": tls.key_password or None,
        }
    return options


def _primary(address: RedisAddress, key: str, seconds: float) -> Primary | None:
    """Return what finds the primary; None where the URL names it."""
    if address.topology is Topology.SENTINEL:
        user, password, tls = address.sentinel_user, address.sentinel_password, address.sentinel_tls
    else:
        user, password, tls = address.user, address.password, address.tls
    options = _options(user, password, tls, seconds) | {"socket_timeout": seconds, "decode_responses": True}
    kind = _TlsConnection if tls is not None else _TcpConnection

    def make_client(node: Node) -> "redis.asyncio.Redis":
        pool = redis.asyncio.ConnectionPool(kind, host=node[0], port=node[1], primary=None, **options)
        return redis.asyncio.Redis.from_pool(pool)

    if address.topology is Topology.SENTINEL:
        return SentinelPrimary(address, make_client, seconds)
    if address.topology is Topology.CLUSTER:
        return ClusterPrimary(address, make_client, seconds, key)
    return None


class _Writing:
    """Makes a connection of redis-py write as we want it to.

    Commands are packed with hiredis, which takes a fifteenth of the time: redis-py reads replies with it, but packs
    what its asyncio connections send in Python, a quarter of what the invalidator did.

    And a connection that was reset a moment ago is a lost connection: uvloop's error for it is none that redis-py
    knows, and ended the service.
    """

    async def send_packed_command(self, *arguments: Any, **options: Any) -> None:
        """Write commands."""
        try:
            await super().send_packed_command(*arguments, **options)  # type: ignore[misc]
        except RuntimeError as error:
            connection = cast(Connection, self)
            await connection.disconnect(nowait=True)
            raise RedisConnectionError(f"the connection was lost ({error})") from error

    def pack_command(self, *arguments: Any) -> list[bytes]:
        """Write one command; a name of several words, such as SCRIPT LOAD, is as many arguments."""
        name = arguments[0]
        words = name.split() if isinstance(name, str) else (name,)
        return [hiredis.pack_command((*words, *arguments[1:]))]


class _SocketConnection(_Writing, UnixDomainSocketConnection):
    """A connection by a socket."""


class _TcpConnection(_Writing, Connection):
    """A connection to the primary, whoever that is when it is made."""

    def __init__(self, *, primary: Primary | None, **options: Any) -> None:
        super().__init__(**options)
        self._primary = primary

    def cut(self) -> None:
        """Have whoever waits for a reply find the connection closed, as by the other side."""
        if self._writer is not None:
            self._writer.transport.abort()

    async def _connect(self) -> None:
        if self._primary is not None:
            self.host, self.port = await self._primary.find()
        try:
            await super()._connect()  # type: ignore[no-untyped-call]
        except BaseException:
            self._doubt()
            raise

    async def on_connect_check_health(self, check_health: bool = True) -> None:
        try:
            await super().on_connect_check_health(check_health)
        except RedisConnectionError:
            self._doubt()
            raise

    async def read_response(self, *arguments: Any, **options: Any) -> Any:
        """Read a reply; a server that is not the one to speak to is left after it."""
        try:
            return await super().read_response(*arguments, **options)
        except _ELSEWHERE as error:
            self._doubt()
            self.mark_for_reconnect()  # type: ignore[no-untyped-call]
            if self._primary is None and isinstance(error, MovedError):
                raise ResponseError(_NOT_A_CLUSTER_URL) from error
            raise
        except RedisConnectionError:
            self._doubt()
            raise

    def _doubt(self) -> None:
        if self._primary is not None:
            self._primary.doubt()


class _TlsConnection(_TcpConnection, SSLConnection):
    """The same by TLS."""


class _Pool(redis.asyncio.ConnectionPool):
    """Connections to the primary, whoever that is."""

    def __init__(self, kind: type[_TcpConnection], *, primary: Primary | None, **options: Any) -> None:
        super().__init__(kind, primary=primary, **options)
        self._primary = primary

    async def get_connection(self, *_unused: Any, **_also_unused: Any) -> Any:
        """Take a connection, and see now and then whether it leads to the primary still."""
        if self._primary is not None:
            self._primary.look_again(self._cut_all)
        return await super().get_connection()  # type: ignore[no-untyped-call]

    async def disconnect(self, inuse_connections: bool = True) -> None:
        """Close connections; with those in use also those to whoever was asked for the primary."""
        await super().disconnect(inuse_connections)
        if inuse_connections and self._primary is not None:
            await self._primary.aclose()

    def _cut_all(self) -> None:
        """Leave a primary that is none any more; whoever waits for it is to hear of that now."""
        for connection in (*self._get_free_connections(), *self._get_in_use_connections()):
            cast(_TcpConnection, connection).cut()
