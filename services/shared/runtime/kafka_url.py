"""Where Kafka is, and how we come in: the setting `event_log` taken apart.

One URL holds it all, as for the database and for Redis: the brokers, a user and a password where they are asked for,
and how TLS is spoken. What TLS needs has the names that it has in a `redis_url`.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlencode

PLAIN_SCHEME = "kafka://"
TLS_SCHEME = "kafka+ssl://"

PLAIN = "PLAIN"
OAUTHBEARER = "OAUTHBEARER"
MECHANISMS = ("SCRAM-SHA-512", "SCRAM-SHA-256", PLAIN, OAUTHBEARER)
"""How a user can prove who it is; the first one where the URL names none: it does not show the password to anybody."""

_BROKER = re.compile(r"(?:[\w.-]+|\[[0-9a-fA-F:]+\]):\d{1,5}")
_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "sasl_token_file")
_PARAMETERS = frozenset({"sasl_mechanism", "ssl_check_hostname", *_FILES})
_TRUTH = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


@dataclass(frozen=True, slots=True)
class KafkaUrl:
    """Brokers, and how to come in there.

    Attributes:
        brokers: Brokers to begin with, as `host:port`.
        tls: Whether TLS is spoken.
        user: Who we are; empty where Kafka does not ask, or goes by our certificate or token.
        password: The user's; never shown.
        mechanism: How we prove it; empty: we are not asked.
        token_file: With OAUTHBEARER, the file with a token, read anew for every connection.
        ca: Certificates of the authorities that are trusted; None: those that this machine trusts.
        certificate: Our own certificate, if we show one.
        key: Its key; None: it is in the same file.
        check_host_name: Whether a broker's certificate has to be for the name that we know it by.
    """

    brokers: tuple[str, ...]
    tls: bool = False
    user: str = ""
    password: str = field(default="", repr=False)
    mechanism: str = ""
    token_file: Path | None = None
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    check_host_name: bool = True

    @property
    def shows_password(self) -> bool:
        """Whether whoever listens on the way learns the password, or a token that does as well."""
        return not self.tls and self.mechanism in (PLAIN, OAUTHBEARER)

    @property
    def url(self) -> str:
        """The URL in one form. Holds the password."""
        password = f":{quote(self.password, safe='')}" if self.password else ""
        credentials = f"{quote(self.user, safe='')}{password}@" if self.user else ""
        named = {"ssl_ca_certs": self.ca, "ssl_certfile": self.certificate, "ssl_keyfile": self.key}
        query = {name: str(path) for name, path in (named | {"sasl_token_file": self.token_file}).items() if path}
        if self.mechanism not in ("", MECHANISMS[0]):
            query["sasl_mechanism"] = self.mechanism
        if not self.check_host_name:
            query["ssl_check_hostname"] = "false"
        tail = f"?{urlencode(query, quote_via=quote, safe='/')}" if query else ""
        return f"{TLS_SCHEME if self.tls else PLAIN_SCHEME}{credentials}{','.join(self.brokers)}{tail}"


def parse_kafka_url(text: str) -> KafkaUrl:
    """Read the URL of a Kafka cluster.

    Raises:
        ValueError: It is none, or contradicts itself. The message says what would be right and repeats no secret.
    """
    scheme = next((scheme for scheme in (PLAIN_SCHEME, TLS_SCHEME) if text.startswith(scheme)), None)
    if scheme is None:
        raise ValueError("it is neither")
    rest, _, query = text.removeprefix(scheme).partition("?")
    credentials, _, address = rest.rpartition("@")
    if "/" in credentials:
        raise ValueError("a / in a user's name or password has to be written as %2F")
    brokers = tuple(address.removesuffix("/").split(","))
    if not all(_BROKER.fullmatch(broker) for broker in brokers):
        raise ValueError("behind the scheme (and USER:PASSWORD@) it should name brokers as HOST:PORT[,HOST:PORT]")
    user, _, password = (unquote(part) for part in credentials.partition(":"))
    parameters = dict(parse_qsl(query, keep_blank_values=True))
    if unknown := sorted(parameters.keys() - _PARAMETERS):
        raise ValueError(f"it has no parameter {unknown[0]}; there are {', '.join(sorted(_PARAMETERS))}")
    mechanism = parameters.get("sasl_mechanism", MECHANISMS[0] if user else "")
    _check(scheme, user, password, mechanism, parameters)
    files = {name: Path(parameters[name]).absolute() if parameters.get(name) else None for name in _FILES}
    return KafkaUrl(
        brokers=brokers,
        tls=scheme == TLS_SCHEME,
        user=user,
        password=password,
        mechanism=mechanism,
        token_file=files["sasl_token_file"],
        ca=files["ssl_ca_certs"],
        certificate=files["ssl_certfile"],
        key=files["ssl_keyfile"],
        check_host_name=_TRUTH[parameters.get("ssl_check_hostname", "true").lower()],
    )


def _check(scheme: str, user: str, password: str, mechanism: str, parameters: dict[str, str]) -> None:
    """Refuse what contradicts itself, so that nobody believes to be safer than they are.

    Raises:
        ValueError: It does.
    """
    given = next((name for name in sorted(parameters) if name.startswith("ssl_")), None)
    if given and scheme == PLAIN_SCHEME:
        raise ValueError(f"its parameter {given} has no effect without TLS; write {TLS_SCHEME}")
    if parameters.get("ssl_keyfile") and not parameters.get("ssl_certfile"):
        raise ValueError("there is no certificate to its ssl_keyfile; name it as ssl_certfile")
    if parameters.get("ssl_check_hostname", "true").lower() not in _TRUTH:
        raise ValueError("its ssl_check_hostname should be true or false")
    if mechanism and mechanism not in MECHANISMS:
        raise ValueError(f"its sasl_mechanism should be one of {', '.join(MECHANISMS)}")
    if (mechanism == OAUTHBEARER) != bool(parameters.get("sasl_token_file")):
        raise ValueError(f"sasl_mechanism={OAUTHBEARER} and sasl_token_file belong together")
    if mechanism == OAUTHBEARER and user:
        raise ValueError(f"with {OAUTHBEARER} it is the token that says who comes; leave out USER:PASSWORD@")
    if (user or password or mechanism) and mechanism != OAUTHBEARER and not (user and password):
        raise ValueError("a user and a password belong together; write USER:PASSWORD@ before the first broker")
