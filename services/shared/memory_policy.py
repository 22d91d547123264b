"""Which keys may a Redis that is full throw away? Only those with a time to live: answers, and the indexes of tags.

What has none says what answers are worth (evictions, positions, shapes, the feed, the log). Each of these is missed
when it is gone, and then the cache begins cold; but a Redis that may delete them does so again and again, and nothing
says that it takes all of one history at once. So a policy that may is refused, by whoever meets it, for as long as it
lasts. It is read from INFO: hosts of Redis often forbid CONFIG. Pure.
"""

POLICY_SECONDS = 2.0
"""Between two looks at the policy, which somebody may change while we run."""

WHAT_TO_SET = "volatile-lru (or another volatile-* one, or noeviction)"


def is_sound(policy: str) -> bool:
    """Tell whether a policy keeps what has no time to live; one that is not shown is believed to."""
    return policy in ("", "noeviction") or policy.startswith("volatile-")


def policy_trouble(policy: str) -> str:
    """Say what is wrong with a policy and what to set; empty if nothing is."""
    if is_sound(policy):
        return ""
    return (
        f"Redis has the maxmemory-policy {policy}, which deletes keys that have no time to live: set it to "
        f"{WHAT_TO_SET}"
    )
