"""Who is believed when those who are asked for the primary do not agree, or do not all answer."""

import asyncio
import time
from typing import Any, cast

import pytest
import redis.asyncio
from redis.exceptions import RedisError

from services.shared.redis_address import RedisAddress, Topology
from services.shared.redis_primary import Answer, Node, Primary, PrimaryUnknownError

_NODES: tuple[Node, ...] = (("a", 1), ("b", 2), ("c", 3))
_OLD, _NEW = ("old", 1), ("new", 1)


class _Asked(Primary):
    """Asks nobody, and says what each of them would answer: an answer, an error, or how long it takes."""

    def __init__(self, answers: dict[Node, Answer | RedisError | float]) -> None:
        nobody = cast("redis.asyncio.Redis", None)
        super().__init__(RedisAddress(Topology.SENTINEL, _NODES, service="main"), lambda _: nobody, 0.5)
        self.answers = answers
        self.questions = 0

    async def question(self, client: Any, asked: Node) -> Answer:
        self.questions += 1
        answer = self.answers[asked]
        if isinstance(answer, float):
            await asyncio.sleep(answer)
            raise RedisError("too late")
        if isinstance(answer, RedisError):
            raise answer
        return answer


def test_the_newest_configuration_counts() -> None:
    """One Sentinel is cut off from the others, and names the old primary still."""
    primary = _Asked({("a", 1): Answer(3, _OLD), ("b", 2): Answer(4, _NEW), ("c", 3): RedisError("gone")})
    assert asyncio.run(primary.find()) == _NEW


def test_who_does_not_answer_is_waited_for_a_moment_only() -> None:
    primary = _Asked({("a", 1): 30.0, ("b", 2): Answer(4, _NEW), ("c", 3): 30.0})
    began_at = time.monotonic()
    assert asyncio.run(primary.find()) == _NEW
    assert time.monotonic() - began_at < 5


def test_what_they_said_is_told_when_nobody_knows() -> None:
    primary = _Asked({("a", 1): RedisError("a knows no service main"), ("b", 2): 30.0, ("c", 3): RedisError("gone")})
    with pytest.raises(PrimaryUnknownError, match="a knows no service main; gone"):
        asyncio.run(primary.find())


def test_it_is_asked_again_only_when_it_is_doubted() -> None:
    async def scenario() -> None:
        primary = _Asked(dict.fromkeys(_NODES, Answer(1, _OLD)))
        assert await primary.find() == await primary.find() == _OLD
        assert primary.questions == len(_NODES)
        primary.answers = dict.fromkeys(_NODES, Answer(2, _NEW))
        primary.doubt()
        assert await primary.find() == _NEW

    asyncio.run(scenario())
