"""Traces of reads, as a cache sees them: whose answer, how large, and whether a change has evicted it before. Pure."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from benchmarks.shop.zipf import Zipf

KEYS = 50_000
_LARGE_SHARE = 0.01
_LARGE_BYTES = (100_000, 1_000_000)
_ORDINARY_BYTES = (7.0, 0.9)  # of the normal distribution of a size's logarithm: a median of 1.1 KB


@dataclass(frozen=True, slots=True)
class Read:
    """A read.

    Attributes:
        key: Whose answer.
        size: Of the answer, in bytes.
        changed: A change has evicted it since it was last read.
    """

    key: bytes
    size: int
    changed: bool = False


def synthetic_traces(count: int) -> dict[str, list[Read]]:
    """Return traces by name, each of about so many reads."""
    return {
        "Zipf 0.8": _reads(_popular(0.8, count)),
        "Zipf 1.0": _reads(_popular(1.0, count)),
        "Zipf 1.2": _reads(_popular(1.2, count)),
        "Zipf 1.0, changes": _changing(_popular(1.0, count)),
        "Zipf 1.0, scans": _reads(_scanned(count)),
        "Zipf 1.0, every other read once": _reads(_once(count)),
        "Zipf 1.0, drifting": _reads(_drifting(count)),
        "Zipf 1.0, large answers beside": _beside_large(count),
        "loop of 12,000": [Read(b"%d" % (number % 12_000), 2_000) for number in range(count)],
    }


def _popular(exponent: float, count: int, seed: int = 1) -> Iterator[int]:
    chance, zipf = random.Random(seed), Zipf(KEYS, exponent)
    for _ in range(count):
        yield zipf.rank(chance)


def _scanned(count: int) -> Iterator[int]:
    """Every now and then somebody reads 15,000 rows that nobody reads otherwise, one by one."""
    fresh = KEYS
    for number, key in enumerate(_popular(1.0, count)):
        yield key
        if number % (count // 4) == count // 8:
            yield from range(fresh, fresh + 15_000)
            fresh += 15_000


def _once(count: int) -> Iterator[int]:
    for number, key in enumerate(_popular(1.0, count // 2)):
        yield key
        yield KEYS + number


def _drifting(count: int) -> Iterator[int]:
    """What is popular changes five times, altogether."""
    for number, key in enumerate(_popular(1.0, count)):
        yield (key + number * 5 // count * 7_919) % KEYS


def _reads(keys: Iterator[int]) -> list[Read]:
    return [Read(b"%d" % key, _size(key)) for key in keys]


def _changing(keys: Iterator[int]) -> list[Read]:
    """Of every popular one a tenth of the reads finds it changed."""
    chance = random.Random(2)
    return [Read(b"%d" % key, _size(key), chance.random() < 0.1) for key in keys]


def _beside_large(count: int) -> list[Read]:
    """Small answers, and one read in two hundred of one of 2,000 answers of a megabyte."""
    chance = random.Random(3)
    reads: list[Read] = []
    for number, key in enumerate(_popular(1.0, count)):
        reads.append(Read(b"%d" % key, 500 + key % 1_500))
        if number % 200 == 0:
            reads.append(Read(b"large %d" % chance.randrange(2_000), 1_000_000))
    return reads


@cache
def _size(key: int) -> int:
    chance = random.Random(key)
    if chance.random() < _LARGE_SHARE:
        return int(chance.uniform(*_LARGE_BYTES))
    return min(int(chance.lognormvariate(*_ORDINARY_BYTES)), _LARGE_BYTES[0])
