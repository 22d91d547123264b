"""The settings: of a process, and of each cache that it serves.

They come from `TIDEGATE_*` environment variables and one optional `tidegate.toml` (`setting_sources` says how they are
written, `settings_loading` puts them together). A wrong one (unknown name, wrong value, contradiction) is refused at
start, all of them at once, each with its name, its value (secrets masked) and what would be right.
"""

import ipaddress
import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, field_validator

from services.shared.redis_address import parse_redis_url, with_checked_files
from services.shared.runtime.addresses import check_address, check_directory, check_permissions, split_address
from services.shared.runtime.authentication import (
    DEFAULT_AUTH_QUERY,
    Authentication,
    check_auth_query,
)
from services.shared.runtime.kafka_url import KafkaUrl, parse_kafka_url
from services.shared.runtime.quantities import parse_duration, parse_size
from services.shared.runtime.redaction import mask_secrets
from services.shared.runtime.upstream import Upstream, parse_upstream

Duration = Annotated[float, BeforeValidator(parse_duration)]
Size = Annotated[int, BeforeValidator(parse_size)]

MOST_STALENESS = 3600.0
"""The largest bound that may be asked for, in seconds."""

_CACHE_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")  # goes into a slot's name: lower case, 63 bytes in all
_COLUMN = re.compile(r"[^.\s]+\.[^.\s]+\.[^.\s]+")


class Consistency(StrEnum):
    """What a cached read promises (consistency contract, section 1)."""

    OFF = "off"
    BOUNDED = "bounded"
    SESSION = "session"
    STRONG = "strong"


def parse_bound(text: str) -> float:
    """Read a `max_staleness` that a session or a statement asks for, in seconds.

    Below what a proof can show, nothing is served; that is no error.

    Raises:
        ValueError: It is no duration up to the largest.
    """
    bound = parse_duration(text)
    if not 0 <= bound <= MOST_STALENESS:
        raise ValueError(f"{text} is no bound up to an hour")
    return bound


class Admission(StrEnum):
    """Which templates are cached, of those that may be."""

    AUTO = "auto"
    ALWAYS = "always"


class TokenScope(StrEnum):
    """Whose acknowledged writes a session reads, in one proxy (consistency contract, 9.6)."""

    SESSION = "session"
    USER = "user"
    CACHE = "cache"


class TlsMode(StrEnum):
    """Whether clients get TLS."""

    AUTO = "auto"
    ON = "on"
    REQUIRED = "required"
    OFF = "off"


class Section(BaseModel):
    """One section of the settings.

    Attributes:
        secret_fields: Settings whose values are shown masked.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=False, hide_input_in_errors=True)

    secret_fields: ClassVar[frozenset[str]] = frozenset()

    def shown(self) -> dict[str, str | int | float | list[str]]:
        """Every setting that has a value, as the file holds it, secrets masked."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: _shown(value) for name, value in values.items() if value is not None}


class ProcessSettings(Section):
    """What belongs to the process and to no cache."""

    log_format: Literal["auto", "json", "console"] = Field(
        "auto", description="json, console, or auto (console on a terminal)"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="debug, info, warning or error")
    metrics_listen: str = Field("127.0.0.1:0", description="HOST:PORT of /metrics, /healthz, /readyz; port 0: any")
    workers: int = Field(
        0, ge=0, le=256, description="how many proxy processes share the port, 1 to 256; 0: as many as there are cores"
    )
    worker_index: int = Field(0, ge=0, description="which of them this process is, from 0")

    _check_metrics_listen = field_validator("metrics_listen")(check_address)

    @property
    def metrics_address(self) -> tuple[str, int]:
        """Host and port of the metrics endpoint."""
        return split_address(self.metrics_listen)


class CacheSettings(Section):
    """One cached database: where it is, how fresh its answers are, how much they may take."""

    secret_fields: ClassVar[frozenset[str]] = frozenset({"database_url", "replica_url", "redis_url", "event_log"})

    name: str = Field(description="lower-case letters, digits and _, at most 40, beginning with a letter")
    database_url: SecretStr = Field(description="postgresql://USER:PASSWORD@HOST:PORT/DATABASE")
    replica_url: SecretStr | None = Field(
        None, description="a hot standby of it, to which this proxy connects its clients; none: to the primary"
    )
    listen: str = Field("127.0.0.1:6432", description="HOST:PORT where clients connect; port 0: any")
    tls: TlsMode = Field(
        TlsMode.AUTO, description="auto (offered where a relayed login then succeeds), on, required or off"
    )
    tls_certificate: Path | None = Field(None, description="PEM file with the certificate that clients see")
    tls_key: Path | None = Field(None, description="PEM file with its key, not encrypted")
    auth: Authentication = Field(Authentication.RELAY, description="relay, or scram (the proxy asks for the password)")
    users_file: Path | None = Field(None, description="with auth = scram: file with verifiers, see tidegate user add")
    auth_query: str = Field(
        DEFAULT_AUTH_QUERY, description="with auth = scram: query that returns the verifier of the user $1, or off"
    )
    allow_clients: tuple[str, ...] = Field(
        (), description="networks that clients may come from, such as 10.0.0.0/8, comma-separated; none: all"
    )
    redis_url: SecretStr = Field(
        SecretStr("redis://127.0.0.1:6379/0"),
        description="redis://[USER:PASSWORD@]HOST:PORT/DB, unix://PATH, redis+sentinel://… or redis+cluster://…; "
        "rediss… for TLS",
    )
    event_log: SecretStr = Field(
        SecretStr("redis"), description="redis, or kafka[+ssl]://[USER:PASSWORD@]HOST:PORT[,HOST:PORT]"
    )
    partitions: int = Field(1, ge=1, le=64, description="partitions of the event log, 1 to 64")
    max_staleness: Duration = Field(
        1.0, ge=0.05, le=MOST_STALENESS, description="how old a cached answer may be, 50ms to 1h, such as 1s"
    )
    consistency: Consistency = Field(Consistency.SESSION, description="off, bounded, session or strong")
    strong_wait: Duration = Field(
        0.05, ge=0, le=60.0, description="how long a strong read waits for its proof, up to 1min; then it is forwarded"
    )
    token_scope: TokenScope = Field(
        TokenScope.SESSION,
        description="whose writes a session reads at once: session (its own), user (of all sessions of its login) or "
        "cache (of all), in one proxy",
    )
    ageing_ttl: Duration = Field(
        0.0,
        ge=0,
        le=86400.0,
        description="how long answers may be kept that depend on the time (now(), current_date) or on a materialized "
        "view, up to 1d, such as 30s; 0: not at all",
    )
    serve_stale_for: Duration = Field(
        0.0,
        ge=0,
        le=7 * 86400.0,
        description="how long after the last proof of freshness hits are served while Postgres is down, up to 7d, such "
        "as 5min, each with a warning; 0: not at all",
    )
    max_entry_age: Duration = Field(600.0, ge=1.0, le=86400.0, description="backstop, 1s to 1d, such as 10min")
    admission: Admission = Field(
        Admission.AUTO,
        description="auto: templates are cached while that pays, by what is measured; always: all that may be",
    )
    l1_bytes: Size = Field(64 * 1024**2, ge=0, description="memory for answers in each worker, such as 64MiB")
    capture_bytes: Size = Field(1024**2, ge=1024, description="largest answer that is kept, from 1KiB, such as 1MiB")
    hashed_columns: tuple[str, ...] = Field(
        (), description="columns whose values appear in events only as hashes: schema.table.column, comma-separated"
    )
    audit_rate: float = Field(
        1.0,
        ge=0,
        le=100,
        description="hits a second, at most, that each worker compares with Postgres's answer; 0: none",
    )
    catalog_poll: Duration = Field(
        1.0, ge=0.05, le=5.0, description="in what time changes of the catalog are seen, 50ms to 5s"
    )
    ddl_trigger: bool = Field(
        True, description="true or false: an event trigger tells of DDL at once, where our role may make one"
    )
    redis_timeout: Duration = Field(
        0.05, ge=0.001, le=5.0, description="how long a query waits for Redis at most, 1ms to 5s, such as 50ms"
    )
    slot_limit: Size = Field(
        4 * 1024**3,
        ge=0,
        description="WAL that the replication slot may keep back before it is dropped, such as 4GiB; 0: any amount",
    )
    slot_patience: Duration = Field(
        600.0,
        ge=0,
        le=30 * 86400.0,
        description="how long the slot may be unused before it is dropped, up to 30d; 0: for ever",
    )
    failover_slot: bool = Field(
        True, description="true or false: have standbys keep a copy of the slot (Postgres 17 and newer)"
    )
    keep: bool = Field(False, description="true or false: leave slot and publication in place at a clean stop")
    listen_unix: str = Field(
        "", description="absolute path of a directory for a unix-domain socket .s.PGSQL.PORT beside the TCP port"
    )
    listen_unix_permissions: str = Field(
        "0777", description="the socket's permissions as an octal number, such as 0770"
    )
    max_clients: int = Field(10_000, ge=1, le=1_000_000, description="clients in each worker, from 1")
    client_idle_timeout: Duration = Field(
        0.0,
        ge=0,
        le=30 * 86400.0,
        description="how long a client may idle outside a transaction, up to 30d; 0: for ever",
    )
    drain_timeout: Duration = Field(
        10.0, ge=0, le=3600.0, description="how long a stop waits for turns and transactions under way, up to 1h"
    )
    tcp_keepalive: bool = Field(True, description="true or false: have the kernel notice peers that vanished")

    _check_listen = field_validator("listen")(check_address)
    _check_auth_query = field_validator("auth_query")(check_auth_query)
    _check_listen_unix = field_validator("listen_unix")(check_directory)
    _check_permissions = field_validator("listen_unix_permissions", mode="before")(check_permissions)

    @field_validator("name")
    @classmethod
    def _check_name(cls, value: str) -> str:
        if _CACHE_NAME.fullmatch(value) is None:
            raise ValueError("it is no name for a cache")
        return value

    @field_validator("database_url", "replica_url", mode="before")
    @classmethod
    def _normalise_database_url(cls, value: object) -> str | None:
        if value is None:
            return None
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        if not isinstance(text, str):
            raise ValueError("it should be text")
        return parse_upstream(text).url

    @field_validator("tls_certificate", "tls_key", "users_file")
    @classmethod
    def _make_absolute(cls, value: Path | None) -> Path | None:
        return None if value is None else value.absolute()  # the services of a stack run in another folder

    @field_validator("allow_clients", mode="before")
    @classmethod
    def _check_networks(cls, value: object) -> object:
        networks = [part.strip() for part in value.split(",")] if isinstance(value, str) else value
        if not isinstance(networks, list | tuple):
            return networks
        return tuple(_network(str(network)) for network in networks)

    @field_validator("redis_url")
    @classmethod
    def _check_redis_url(cls, value: SecretStr) -> SecretStr:
        parse_redis_url(value.get_secret_value())
        return SecretStr(with_checked_files(value.get_secret_value()))

    @field_validator("event_log", mode="before")
    @classmethod
    def _normalise_event_log(cls, value: object) -> str:
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        if not isinstance(text, str):
            raise ValueError("it should be text")
        return text if text == "redis" else parse_kafka_url(text).url

    @field_validator("hashed_columns", mode="before")
    @classmethod
    def _split_columns(cls, value: object) -> object:
        columns = [part.strip() for part in value.split(",")] if isinstance(value, str) else value
        if isinstance(columns, list) and not all(isinstance(c, str) and _COLUMN.fullmatch(c) for c in columns):
            raise ValueError("one of them is not schema.table.column")
        return columns

    @property
    def upstream(self) -> Upstream:
        """The cached database, taken apart."""
        return parse_upstream(self.database_url.get_secret_value())

    @property
    def client_upstream(self) -> Upstream:
        """Where the proxy connects its clients: the replica, if one is named."""
        return self.upstream if self.replica_url is None else parse_upstream(self.replica_url.get_secret_value())

    @property
    def listen_address(self) -> tuple[str, int]:
        """Host and port where clients connect."""
        return split_address(self.listen)

    @property
    def client_networks(self) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
        """The networks that clients may come from; none: all."""
        return tuple(ipaddress.ip_network(network) for network in self.allow_clients)

    @property
    def listen_unix_mode(self) -> int:
        """The unix socket's permission bits."""
        return int(self.listen_unix_permissions, 8)

    @property
    def kafka(self) -> KafkaUrl | None:
        """Where Kafka is and how we come in; None when the event log is in Redis."""
        text = self.event_log.get_secret_value()
        return None if text == "redis" else parse_kafka_url(text)

    @property
    def publication(self) -> str:
        """Name of our publication in the database."""
        return f"tidegate_{self.name}"

    @property
    def slot(self) -> str:
        """Name of our replication slot."""
        return f"tidegate_{self.name}"

    @property
    def topic(self) -> str:
        """Name of our Kafka topic."""
        return f"tidegate.{self.name}.changes"

    @property
    def prefix(self) -> str:
        """What every one of our Redis keys begins with. The braces keep a cache in one slot of a Redis Cluster."""
        return f"tidegate:{{{self.name}}}:"


def _network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text, strict=False))  # as in pg_hba.conf, bits behind the mask do not matter
    except ValueError as error:
        raise ValueError(f"{text} is no network in CIDR form") from error


class Settings(BaseModel):
    """Everything that a process was told."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    process: ProcessSettings
    caches: dict[str, CacheSettings]


def _shown(value: object) -> str | int | float | list[str]:
    if isinstance(value, SecretStr):
        return mask_secrets(value.get_secret_value())
    if isinstance(value, tuple):
        return [str(part) for part in value]
    return value if isinstance(value, int | float) else str(value)
