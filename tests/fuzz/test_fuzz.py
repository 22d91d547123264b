"""Whatever reads a peer's bytes, against its corpus and against bounded mutations of it.

The seed is fixed: a failure comes back.
"""

import random
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fuzz import fuzz_pgwire, fuzz_proxy

TARGETS = {
    f"{family}-{name}": target
    for family, targets in (("pgwire", fuzz_pgwire.TARGETS), ("proxy", fuzz_proxy.TARGETS))
    for name, target in targets.items()
}
CORPUS = Path(__file__).parent / "corpus"
MUTATIONS = 3_000  # a target's share; a few seconds
SEED = 20_240_229
_MUTATED_BYTES = 1_500  # longer corpus files are run as they are, and mutated in their first part only
_INTERESTING = (0, 1, 3, 4, 5, 0x7F, 0x80, 0xFE, 0xFF)
_WORDS = (b"\0\0\0\0", b"\0\0\0\4", b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"\xff\xff\xff\xff", b"\xff\xff", b"\0\1")

FILES = [(f"{path.parent.parent.name}-{path.parent.name}", path) for path in sorted(CORPUS.glob("*/*/*.bin"))]


def _mutate(chance: random.Random, data: bytes, other: bytes) -> bytes:
    """Change a few places: bytes, length words, cuts, insertions, a splice with another input."""
    mutant = bytearray(data[:_MUTATED_BYTES])
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(mutant) + 1)
        match chance.randrange(6):
            case 0 if at < len(mutant):
                mutant[at] ^= 1 << chance.randrange(8)
            case 1 if at < len(mutant):
                mutant[at] = chance.choice(_INTERESTING)
            case 2:
                word = chance.choice(_WORDS)
                mutant[at : at + len(word)] = word
            case 3:
                del mutant[at : at + chance.randint(1, 8)]
            case 4:
                mutant[at:at] = chance.randbytes(chance.randint(1, 8))
            case _:
                mutant[at:] = other[chance.randrange(len(other) + 1) :][:_MUTATED_BYTES]
    return bytes(mutant)


def _mutants(target: str) -> Iterator[bytes]:
    chance = random.Random(SEED)
    inputs = [path.read_bytes() for name, path in FILES if name == target]
    for _ in range(MUTATIONS):
        yield _mutate(chance, chance.choice(inputs), chance.choice(inputs))


def test_the_corpus_is_here() -> None:
    assert {name for name, _ in FILES} == set(TARGETS)
    assert len(FILES) >= 50


@pytest.mark.parametrize(("target", "path"), FILES, ids=[f"{name}-{path.stem}" for name, path in FILES])
def test_corpus(target: str, path: Path) -> None:
    data = path.read_bytes()
    tracemalloc.start()
    try:
        accepted = TARGETS[target](data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < (1 << 18) + 300 * len(data)  # a value of no bytes costs four on the wire and a slot in a tuple
    if path.name.startswith("seed-"):
        assert accepted


@pytest.mark.parametrize("target", TARGETS)
def test_mutations(target: str) -> None:
    accepted = sum(TARGETS[target](mutant) for mutant in _mutants(target))
    assert MUTATIONS // 20 < accepted < MUTATIONS  # else the mutations are too wild, or too tame, to prove anything
