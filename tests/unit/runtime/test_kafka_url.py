"""The URL of Kafka: what it may say, what contradicts itself, and that its password is not shown."""

import re
from pathlib import Path

import pytest

from services.shared.runtime.kafka_url import KafkaUrl, parse_kafka_url
from services.shared.runtime.redaction import mask_secrets


def test_brokers_alone_speak_plainly_and_ask_nobody() -> None:
    assert parse_kafka_url("kafka://one:9092,[::1]:9093") == KafkaUrl(("one:9092", "[::1]:9093"))


def test_a_user_proves_itself_without_showing_the_password_where_nothing_else_is_said() -> None:
    url = parse_kafka_url("kafka+ssl://me%40home:hunter%2F2@one:9092")

    assert (url.tls, url.user, url.password, url.mechanism) == (True, "me@home", "hunter/2", "SCRAM-SHA-512")
    assert url.check_host_name


def test_everything_is_read_and_written_again() -> None:
    text = (
        "kafka+ssl://me:hunter2@one:9092,two:9092?ssl_ca_certs=/ca.pem&ssl_certfile=/me.pem&ssl_keyfile=/me.key"
        "&sasl_mechanism=PLAIN&ssl_check_hostname=false"
    )
    url = parse_kafka_url(text)

    assert (url.ca, url.certificate, url.key) == (Path("/ca.pem"), Path("/me.pem"), Path("/me.key"))
    assert (url.mechanism, url.check_host_name) == ("PLAIN", False)
    assert url.url == text
    assert parse_kafka_url(url.url) == url
    assert "hunter2" not in mask_secrets(url.url) + repr(url)


def test_files_mean_the_same_in_every_folder() -> None:
    assert parse_kafka_url("kafka+ssl://one:9092?ssl_ca_certs=ca.pem").ca == Path("ca.pem").absolute()


def test_who_listens_on_the_way_is_known() -> None:
    assert parse_kafka_url("kafka://me:hunter2@one:9092?sasl_mechanism=PLAIN").shows_password
    assert not parse_kafka_url("kafka+ssl://me:hunter2@one:9092?sasl_mechanism=PLAIN").shows_password
    assert not parse_kafka_url("kafka://me:hunter2@one:9092").shows_password


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        ("http://one:9092", "neither"),
        ("kafka://one", "HOST:PORT"),
        ("kafka://me:hunter2/@one:9092", "%2F"),
        ("kafka://me@one:9092", "belong together"),
        ("kafka://:hunter2@one:9092", "belong together"),
        ("kafka://one:9092?sasl_mechanism=PLAIN", "belong together"),
        ("kafka://me:hunter2@one:9092?sasl_mechanism=GSSAPI", "SCRAM-SHA-512, SCRAM-SHA-256, PLAIN, OAUTHBEARER"),
        ("kafka://one:9092?sasl_mechanism=OAUTHBEARER", "sasl_token_file belong together"),
        ("kafka://one:9092?sasl_token_file=/t", "sasl_token_file belong together"),
        ("kafka://me:hunter2@one:9092?sasl_mechanism=OAUTHBEARER&sasl_token_file=/t", "the token that says who comes"),
        ("kafka://one:9092?ssl_ca_certs=/ca", "ssl_ca_certs has no effect without TLS; write kafka+ssl://"),
        ("kafka+ssl://one:9092?ssl_keyfile=/k", "no certificate to its ssl_keyfile"),
        ("kafka+ssl://one:9092?ssl_check_hostname=maybe", "true or false"),
        ("kafka+ssl://one:9092?ssl_cafile=/k", "no parameter ssl_cafile; there are sasl_mechanism"),
    ],
)
def test_what_is_wrong_is_refused_with_what_would_be_right(url: str, advice: str) -> None:
    with pytest.raises(ValueError, match=re.escape(advice)) as refused:
        parse_kafka_url(url)
    assert "hunter2" not in str(refused.value)
