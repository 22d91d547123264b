"""What a topic's settings mean for an event log: what must not be, and what only makes a loss likelier. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from services.shared.runtime.kafka_url import MECHANISMS, OAUTHBEARER, TLS_SCHEME, KafkaUrl

MAX_RECORD_BYTES = 4 << 20  # a row of the most columns that Postgres allows, old and new, stays well below
LEAST_RECORD_BYTES = 1 << 20  # Kafka's own default for a topic is a little more
RETENTION_MS = 24 * 60 * 60 * 1000  # a reader that is away for longer begins with an empty cache
REPLICAS = 3
"""As many as there are brokers, up to this."""

BROKERS_CLOCK = "LogAppendTime"
"""Retention goes by a record's time. Where that is ours, brokers refuse records that lie too far in their future."""

_HOUR_MS = 60 * 60 * 1000


@dataclass(frozen=True, slots=True)
class Advice:
    """Something about a topic that had better be otherwise.

    Attributes:
        text: What is so, and what comes of it: a sentence without its full stop.
        remedy: What to do.
    """

    text: str
    remedy: str


def unsuitable(name: str, settings: Mapping[str, str], replicas: int) -> Advice | None:
    """Return why a topic must not be used; None if it may.

    Args:
        name: Its name.
        settings: Its settings, defaults included.
        replicas: Copies of its least copied partition.
    """
    alter = _altering(name)
    if "compact" in settings["cleanup.policy"]:
        return Advice(
            f"topic {name} is compacted, which deletes events that are still needed", f"{alter} cleanup.policy=delete"
        )
    if int(settings["max.message.bytes"]) < LEAST_RECORD_BYTES:
        return Advice(
            f"topic {name} takes records of {settings['max.message.bytes']} bytes at most",
            f"{alter} max.message.bytes={MAX_RECORD_BYTES}",
        )
    if (least := int(settings["min.insync.replicas"])) > replicas:
        return Advice(
            f"topic {name} has {_copies(replicas)} of each record and asks for {least} (min.insync.replicas), so it "
            "takes none",
            f"{alter} min.insync.replicas={max(1, replicas - 1)}",
        )
    return None


def weaknesses(name: str, settings: Mapping[str, str], replicas: int, brokers: int) -> Iterable[Advice]:
    """Yield what makes it likelier that events are lost, and the cache begins empty.

    Args:
        name: The topic's name.
        settings: Its settings, defaults included.
        replicas: Copies of its least copied partition.
        brokers: Brokers of the cluster.
    """
    alter, retention_ms = _altering(name), int(settings["retention.ms"])
    if 0 <= retention_ms < RETENTION_MS:
        yield Advice(
            f"Topic {name} keeps events for {retention_ms / _HOUR_MS:.3g} h: a reader that is away for longer begins "
            "with an empty cache",
            f"{alter} retention.ms={RETENTION_MS}",
        )
    if (limit := int(settings["retention.bytes"])) >= 0:
        yield Advice(
            f"Topic {name} keeps {limit:,} bytes of a partition at most: a reader that is further behind begins with "
            "an empty cache",
            f"{alter} retention.bytes=-1",
        )
    if settings["message.timestamp.type"] != BROKERS_CLOCK:
        yield Advice(
            f"Topic {name} goes by the clock of whoever writes: where that of the CDC service is an hour fast, its "
            "events are refused, and where it is slow, they are deleted too early",
            f"{alter} message.timestamp.type={BROKERS_CLOCK}",
        )
    wanted = min(REPLICAS, brokers)
    if replicas < wanted:
        yield Advice(
            f"Topic {name} has {_copies(replicas)} of each record on {brokers} brokers: the loss of one broker may "
            "cost the whole cache",
            f"kafka-reassign-partitions.sh gives it {wanted}; or stop the services and delete the topic, and the CDC "
            "service makes another one",
        )
    elif replicas >= REPLICAS and settings["min.insync.replicas"] == "1":
        yield Advice(
            f"Topic {name} takes records that only one broker has: its loss may cost the whole cache",
            f"{alter} min.insync.replicas=2",
        )
    elif replicas > 1 and int(settings["min.insync.replicas"]) >= replicas:
        yield Advice(
            f"Topic {name} takes no records as soon as one broker is away: nothing is cached meanwhile",
            f"{alter} min.insync.replicas={replicas - 1}",
        )
    if settings["unclean.leader.election.enable"] == "true" and replicas > 1:
        yield Advice(
            f"Topic {name} lets a broker lead that does not have all records: a loss is noticed, and the cache begins "
            "empty",
            f"{alter} unclean.leader.election.enable=false",
        )


def exposures(url: KafkaUrl) -> Iterable[Advice]:
    """Yield what others can see who should not."""
    if url.shows_password:
        what = "token" if url.mechanism == OAUTHBEARER else f"password of {url.user}"
        yield Advice(
            f"Whoever listens on the way to Kafka reads the {what}",
            f"write {TLS_SCHEME}, or a sasl_mechanism that does not show it ({MECHANISMS[0]}), in TIDEGATE_EVENT_LOG",
        )


def _altering(name: str) -> str:
    return f"kafka-configs.sh --alter --entity-type topics --entity-name {name} --add-config"


def _copies(replicas: int) -> str:
    return "1 copy" if replicas == 1 else f"{replicas} copies"
