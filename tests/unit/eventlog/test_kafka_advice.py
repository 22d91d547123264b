"""What is said of a topic's settings."""

import pytest

from services.shared.eventlog.kafka_advice import exposures, unsuitable, weaknesses
from services.shared.runtime.kafka_url import parse_kafka_url

_MADE = {
    "cleanup.policy": "delete",
    "max.message.bytes": "4194304",
    "retention.ms": "86400000",
    "retention.bytes": "-1",
    "min.insync.replicas": "2",
    "unclean.leader.election.enable": "false",
    "message.timestamp.type": "LogAppendTime",
}


@pytest.mark.parametrize(
    ("settings", "replicas", "words"),
    [
        ({}, 3, ""),
        ({"cleanup.policy": "compact,delete"}, 3, "is compacted"),
        ({"max.message.bytes": "1000"}, 3, "takes records of 1000 bytes"),
        ({}, 1, "has 1 copy of each record and asks for 2 (min.insync.replicas), so it takes none"),
    ],
)
def test_what_must_not_be(settings: dict[str, str], replicas: int, words: str) -> None:
    reason = unsuitable("t", _MADE | settings, replicas)

    assert (reason is None) is (not words)
    assert reason is None or (words in reason.text and "--entity-name t --add-config" in reason.remedy)


@pytest.mark.parametrize(
    ("settings", "replicas", "brokers", "words"),
    [
        ({"retention.ms": "3600000"}, 3, 3, "keeps events for 1 h"),
        ({"retention.bytes": "1000"}, 3, 3, "keeps 1,000 bytes"),
        ({"min.insync.replicas": "1"}, 1, 3, "has 1 copy of each record on 3 brokers"),
        ({"min.insync.replicas": "1"}, 3, 3, "only one broker has"),
        ({"min.insync.replicas": "3"}, 3, 3, "as soon as one broker is away"),
        ({"unclean.leader.election.enable": "true"}, 3, 3, "does not have all records"),
        ({"message.timestamp.type": "CreateTime"}, 3, 3, "an hour fast"),
    ],
)
def test_what_makes_a_loss_likelier(settings: dict[str, str], replicas: int, brokers: int, words: str) -> None:
    (advice,) = weaknesses("t", _MADE | settings, replicas, brokers)

    assert words in advice.text
    assert advice.remedy


@pytest.mark.parametrize(
    ("settings", "replicas", "brokers"),
    [({}, 3, 5), ({"min.insync.replicas": "1"}, 1, 1), ({"retention.ms": "-1"}, 3, 3)],
)
def test_nothing_is_said_of_a_topic_as_it_is_made(settings: dict[str, str], replicas: int, brokers: int) -> None:
    assert list(weaknesses("t", _MADE | settings, replicas, brokers)) == []


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("kafka://me:hunter2@k:1", ""),
        ("kafka+ssl://me:hunter2@k:1?sasl_mechanism=PLAIN", ""),
        ("kafka://me:hunter2@k:1?sasl_mechanism=PLAIN", "reads the password of me"),
        ("kafka://k:1?sasl_mechanism=OAUTHBEARER&sasl_token_file=/t", "reads the token"),
    ],
)
def test_what_others_can_see_is_told(url: str, words: str) -> None:
    told = [advice.text for advice in exposures(parse_kafka_url(url))]

    assert len(told) == bool(words)
    assert all(words in text for text in told)
