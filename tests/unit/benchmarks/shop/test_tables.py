"""What is said of a run."""

import pytest

from benchmarks.shop.counting import Hits
from benchmarks.shop.outcome import PGPOOL_EXTENDED, PGPOOL_SIMPLE, TIDEGATE_FULL, ShopOutcome
from benchmarks.shop.tables import shop_json, shop_tables


def outcome(peer: str, hits: int, *, write_share: float = 0.1) -> ShopOutcome:
    parts = (Hits(100, hits, {"product": (60, hits), "order": (40, 0)}), Hits(100, 0, {"product": (100, 0)}))
    return ShopOutcome(write_share, peer, parts, 3, 0, {"not_cached": 5}, 12.3)


_OUTCOMES = [
    outcome(TIDEGATE_FULL, 60),
    outcome(PGPOOL_SIMPLE, 10),
    outcome(PGPOOL_EXTENDED, 20),
    outcome(PGPOOL_SIMPLE, 50, write_share=0.01),
]


def test_ratios_are_of_all_reads() -> None:
    first = shop_json(_OUTCOMES)[0]
    assert first["hit_ratio"] == 0.3
    assert first["hit_ratio_by_tenth"] == [0.6, 0.0]
    assert first["hit_ratio_by_class"]["by primary key"] == 0.3


def test_the_peer_counts_in_its_better_mode_and_with_the_same_writes() -> None:
    assert [one["times_pgpool"] for one in shop_json(_OUTCOMES)] == pytest.approx([3.0, 0.5, 1.0, 1.0])


def test_the_table_says_it_all() -> None:
    assert f"| 10% | {TIDEGATE_FULL} | 30.0% | 60 0 | 3.0 | 3 | 0 |" in shop_tables(_OUTCOMES)
    assert "| 10% | 12 | not_cached 5 |" in shop_tables(_OUTCOMES)
