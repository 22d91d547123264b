"""What our user in Redis has to be allowed to do, as an ACL rule, and how a command is tried without being run. Pure.

One list is the rule that is documented and advised, what `tidegate check` tries, and what a test runs the stack with.
"""

from collections.abc import Sequence
from dataclasses import dataclass

_KEY, _STREAM, _CHANNEL = "{key}", "{stream}", "{channel}"


@dataclass(frozen=True, slots=True)
class Right:
    """A command that is needed.

    Attributes:
        command: Its words.
        arguments: With which it can be tried; `{key}` stands for a key of the cache, `{channel}` for its channel.
        why: Who needs it, where it is not every service.
    """

    command: str
    arguments: tuple[str, ...] = ()
    why: str = ""

    @property
    def rule(self) -> str:
        """The part of the ACL rule that gives it."""
        return f"+{self.command.replace(' ', '|')}"

    def trial(self, prefix: str) -> tuple[str, ...]:
        """Return a command line that is well formed."""
        values = {_KEY: f"{prefix}trial", _STREAM: f"{prefix}trial", _CHANNEL: f"{prefix}cancel"}
        return (*self.command.split(), *(values.get(argument, argument) for argument in self.arguments))


_ALWAYS = (
    *(Right("ping"), Right("select", ("0",)), Right("info", ("memory",)), Right("client setname", ("x",))),
    *(Right("multi"), Right("exec"), Right("eval", ("return 1", "0"))),
    *(Right("evalsha", ("0", "0")), Right("script load", ("return 1",))),
    *(Right("exists", (_KEY,)), Right("del", (_KEY,)), Right("unlink", (_KEY,)), Right("pexpire", (_KEY, "1"))),
    *(Right("hget", (_KEY, "f")), Right("hmget", (_KEY, "f")), Right("hgetall", (_KEY,)), Right("hkeys", (_KEY,))),
    Right("hlen", (_KEY,)),
    *(Right("hset", (_KEY, "f", "v")), Right("hsetnx", (_KEY, "f", "v")), Right("hdel", (_KEY, "f"))),
    *(
        Right("sadd", (_KEY, "m")),
        Right("srem", (_KEY, "m")),
        Right("spop", (_KEY,)),
        Right("srandmember", (_KEY,)),
        Right("sscan", (_KEY, "0")),
    ),
    *(Right("xadd", (_KEY, "*", "f", "v")), Right("xread", ("STREAMS", _KEY, "0"))),
    *(Right("xrange", (_KEY, "-", "+")), Right("xrevrange", (_KEY, "+", "-"))),
    *(Right("xinfo stream", (_KEY,)), Right("xgroup create", (_KEY, "g", "0")), Right("xgroup destroy", (_KEY, "g"))),
    *(Right("scan", ("0",)), Right("time")),
    *(Right("publish", (_CHANNEL, "x")), Right("subscribe", (_CHANNEL,)), Right("unsubscribe", (_CHANNEL,))),
    Right("client list", why="teardown, which has to see who is at work"),
)
_CLUSTER = (Right("cluster slots"), Right("cluster nodes"), Right("cluster info"))
_UNTRIED = ("multi", "exec")  # they are what trying is made of


def rights(*, cluster: bool) -> Sequence[Right]:
    """Return what our user needs.

    Args:
        cluster: Whether it is a Redis Cluster.
    """
    return (*_ALWAYS, *_CLUSTER) if cluster else _ALWAYS


def triable(*, cluster: bool) -> list[Right]:
    """Return those that can be queued in a transaction, which tells whether they are allowed, and be discarded then."""
    return [right for right in rights(cluster=cluster) if right.command not in _UNTRIED]


def acl_rule(prefix: str, *, cluster: bool) -> str:
    """Return the least that our user needs, as ACL SETUSER takes it, without user and password.

    Args:
        prefix: What the cache's keys begin with.
        cluster: Whether it is a Redis Cluster.
    """
    return " ".join([f"~{prefix}*", f"&{prefix}*", *(right.rule for right in rights(cluster=cluster))])


ADVICE = "what our user needs is in docs/redis.md (ACL SETUSER), and tidegate check names what is missing"
"""Said to whoever reads of a refused command in a log."""
