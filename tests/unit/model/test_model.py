"""The short form of `make model`: the model finds what every fault breaks, and nothing in small scopes without one."""

from pathlib import Path

import pytest

from tests.model.checker import search
from tests.model.faults import FAULTS, Fault
from tests.model.scope import World
from tests.model.scopes import LARGE, SMALL

QUICK = ("gate", "store", "reply", "feed", "fail-over", "minimum", "place", "birth", "strong", "own", "streams")
"""Scopes of a few thousand states; the others are left to `make model`."""


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_every_fault_is_found(fault: Fault) -> None:
    result = search(fault.world)
    assert result.wrong
    assert result.trace


@pytest.mark.parametrize("name", QUICK)
def test_nothing_is_found_without_a_fault_and_something_can_be_served(name: str) -> None:
    result = search(World(SMALL[name]))
    assert not result.wrong, "\n".join([*result.trace, result.wrong])
    assert result.exhausted
    assert "hit" in result.hits


def test_a_hit_that_shows_a_change_is_reached() -> None:
    assert "hit that shows a change" in search(World(SMALL["gate"])).hits


def test_the_same_states_are_visited_every_time() -> None:
    first, second = (search(World(SMALL["place"])) for _ in range(2))
    assert (first.states, first.transitions, first.depth) == (second.states, second.transitions, second.depth)


def test_the_page_about_the_model_tells_of_all_scopes_and_faults() -> None:
    page = (Path(__file__).parents[3] / "docs" / "model.md").read_text(encoding="utf-8")
    assert [name for name in (*SMALL, *LARGE) if f"| `{name}` |" not in page] == []
    assert [fault.name for fault in FAULTS if f"*{fault.name}*: {fault.about} |" not in page] == []
