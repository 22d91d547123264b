"""What a Kafka broker says about one topic, with the topic's id.

A topic that is deleted and made anew keeps its name and begins again at offset 0; only its id changes. aiokafka asks
for metadata in version 5, which has no ids yet, so version 12 of the request is defined here (Kafka 3.1 and newer). The
fields are those of `MetadataRequest.json` and `MetadataResponse.json` in Kafka's sources.
"""

import base64
import random
from dataclasses import dataclass
from io import BytesIO

from aiokafka.client import AIOKafkaClient  # type: ignore[import-untyped]  # aiokafka ships no type information
from aiokafka.errors import NodeNotReadyError, for_code  # type: ignore[import-untyped]  # as above
from aiokafka.protocol.api import Request, RequestStruct, Response  # type: ignore[import-untyped]  # as above
from aiokafka.protocol.types import (  # type: ignore[import-untyped]  # as above
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

_UUID_BYTES = 16
_NO_ID = bytes(_UUID_BYTES)
_UNKNOWN_TOPIC = 3

_OPERATIONS = {3: "Read", 4: "Write", 6: "Delete", 8: "Describe", 10: "DescribeConfigs"}
"""What a user may be allowed to do with a topic, by its number in `AclOperation` of Kafka."""


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as its brokers see it.

    Attributes:
        identity: Its id, as Kafka's tools print it.
        partition_count: Number of its partitions.
        replica_count: Copies of the partition that has the fewest.
        broker_count: Number of brokers in the cluster.
        has_leaders: Whether every partition can be written and read just now.
        allowed: What we may do with it.
    """

    identity: str
    partition_count: int
    replica_count: int
    broker_count: int
    has_leaders: bool
    allowed: frozenset[str]


class _Uuid:
    """Sixteen bytes without a length."""

    @staticmethod
    def encode(value: bytes) -> bytes:
        return value

    @staticmethod
    def decode(data: BytesIO) -> bytes:
        return data.read(_UUID_BYTES)


class _MetadataResponse(Response):  # type: ignore[misc]  # the base class is untyped
    API_KEY = 3
    API_VERSION = 12
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", CompactString("utf-8")),
                ("port", Int32),
                ("rack", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", CompactString("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("name", CompactString("utf-8")),
                ("topic_id", _Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline_replicas", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("topic_authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _MetadataRequestStruct(RequestStruct):  # type: ignore[misc]  # the base class is untyped
    FLEXIBLE_VERSION = True
    API_KEY = 3
    API_VERSION = 12
    RESPONSE_TYPE = _MetadataResponse
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(("topic_id", _Uuid), ("name", CompactString("utf-8")), ("tags", TaggedFields)),
        ),
        ("allow_auto_topic_creation", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class _MetadataRequest(Request[_MetadataRequestStruct]):  # type: ignore[misc]  # the base class is untyped
    API_KEY = 3

    def __init__(self, topic: str) -> None:
        self._topic = topic

    def build(self, request_struct_class: type[_MetadataRequestStruct]) -> _MetadataRequestStruct:
        return request_struct_class([(_NO_ID, self._topic, {})], False, True, {})


async def some_node(client: AIOKafkaClient) -> int | None:
    """Return some broker that can be reached; a cluster goes on naming one that has just died."""
    nodes = [broker.nodeId for broker in client.cluster.brokers()]
    for node in random.sample(nodes, len(nodes)):
        if await client.ready(node):
            return int(node)
    return None


async def describe_topic(client: AIOKafkaClient, name: str) -> Topic | None:
    """Ask some broker about a topic.

    Args:
        client: A client that has been bootstrapped.
        name: Name of the topic.

    Returns:
        The topic; none when it does not exist.

    Raises:
        aiokafka.errors.KafkaError: The brokers cannot be asked, or refuse to say.
        NotImplementedError: The broker is older than Kafka 3.1.
    """
    node = await some_node(client)
    if node is None:
        raise NodeNotReadyError("none of the brokers can be reached")
    response = await client.send(node, _MetadataRequest(name))
    described = response.to_object()
    [topic] = described["topics"]
    if topic["error_code"] == _UNKNOWN_TOPIC:
        return None
    if topic["error_code"] != 0:
        raise for_code(topic["error_code"])(f"topic {name}")
    return Topic(
        identity=base64.urlsafe_b64encode(topic["topic_id"]).decode().rstrip("="),
        partition_count=len(topic["partitions"]),
        replica_count=min((len(partition["replicas"]) for partition in topic["partitions"]), default=0),
        broker_count=len(described["brokers"]),
        has_leaders=all(partition["leader"] >= 0 for partition in topic["partitions"]),
        allowed=frozenset(name for n, name in _OPERATIONS.items() if topic["topic_authorized_operations"] >> n & 1),
    )
