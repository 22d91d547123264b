"""The differences that are known and explained: `known_differences.toml`. Pure but for reading that file.

An entry that nothing needs any more is an error, as a difference without an entry is: the file says what is true now.
"""

import re
import tomllib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

FILE = Path(__file__).with_name("known_differences.toml")
_MIN_REASON = 40  # characters: shorter is no explanation


class KnownError(Exception):
    """The file is wrong. The message says where, and what would be right."""


@dataclass(frozen=True, slots=True)
class Known:
    """One entry.

    Attributes:
        suite: The suite's name.
        test: The test's name.
        reason: Why it differs, in words that a user would accept.
        sometimes: It depends on how things fall in time, so that it may also end alike.
    """

    suite: str
    test: str
    reason: str
    sometimes: bool = False


def read_known(file: Path = FILE) -> list[Known]:
    """Read the file.

    Raises:
        KnownError: It is not what it should be.
    """
    content = tomllib.loads(file.read_text(encoding="utf-8"))
    found: list[Known] = []
    for number, entry in enumerate(content.get("difference", []), start=1):
        if set(entry) - {"sometimes"} != {"suite", "test", "reason"} or entry.get("sometimes", True) is not True:
            raise KnownError(
                f"{file.name}, entry {number}: it needs suite, test and reason, may say `sometimes = true`, and no more"
            )
        if len(re.sub(r"\s+", " ", entry["reason"])) < _MIN_REASON:
            raise KnownError(f"{file.name}, entry {number} ({entry['test']}): its reason explains nothing")
        found.append(Known(entry["suite"], entry["test"], entry["reason"], "sometimes" in entry))
    if len({(one.suite, one.test) for one in found}) < len(found):
        raise KnownError(f"{file.name}: a test is named twice")
    return found


def unexplained(suite: str, differing: Iterable[str], known: Sequence[Known]) -> list[str]:
    """Return the tests of a suite that differ although nothing is known of it."""
    explained = {one.test for one in known if one.suite == suite}
    return [test for test in differing if test not in explained]


def stale(suite: str, seen: Collection[str], known: Sequence[Known]) -> list[str]:
    """Return the tests of a suite that are known to differ, and did not.

    Args:
        suite: The suite's name.
        seen: The tests that ended otherwise at least once.
        known: What is known of all suites.
    """
    return [one.test for one in known if one.suite == suite and one.test not in seen and not one.sometimes]


def as_list(known: Sequence[Known]) -> str:
    """Return the differences as a Markdown list."""
    return "\n".join(
        f"- `{one.suite}`, `{one.test}`{' (not always)' if one.sometimes else ''}: {one.reason}" for one in known
    )
