"""The shop in pgbench's language: weights for each share of writes, and the very texts that are checked afterwards."""

import random
import re

import pytest

from benchmarks.scenarios.mix import checked_reads
from benchmarks.scenarios.mix_scripts import KEYS, SHOP, Weighted, mixes
from benchmarks.shop.schema import ShopSize

_MIXES = mixes(ShopSize())


@pytest.mark.parametrize("mix", [KEYS, SHOP])
@pytest.mark.parametrize("percent", [0, 1, 10, 50])
def test_so_many_of_a_hundred_are_writes(mix: str, percent: int) -> None:
    weighted = _MIXES[mix]
    scripts = weighted.with_writes(percent)
    writes = sum(weight for script, weight in scripts.items() if script in weighted.writes)
    assert writes / sum(scripts.values()) == pytest.approx(percent / 100)


def test_reads_keep_their_weights_among_each_other() -> None:
    scripts = Weighted({"a": 3, "b": 1}, {"w": 7}).with_writes(10)
    assert scripts["a"] == 3 * scripts["b"]


def test_every_parameter_is_drawn() -> None:
    for script in [*_MIXES[SHOP].reads, *_MIXES[SHOP].writes]:
        *draws, statement = script.splitlines()
        drawn = [draw.split()[1] for draw in draws]
        assert sorted(set(re.findall(r":(v\d)", statement))) == drawn
        assert "$" not in statement


def test_what_is_checked_is_what_the_load_sends() -> None:
    sent = {re.sub(r":v(\d)", r"$\1", script.splitlines()[-1]).rstrip(";") for script in _MIXES[SHOP].reads}
    checked = {read.text for read in checked_reads(random.Random(1))}
    assert len(checked) > 15
    assert checked <= sent
