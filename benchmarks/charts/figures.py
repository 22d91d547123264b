"""Figures of a scenario out of the JSON that a run keeps: medians, found by what was run. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

Figures = Mapping[str, Any]


def cases_of(figures: Figures, scenario: str, **facets: str | float) -> list[Mapping[str, Any]]:
    """Return the cases of a scenario with these facets; none if it was not run."""
    cases: list[Mapping[str, Any]] = figures.get(scenario, {}).get("cases", [])
    return [case for case in cases if all(case["facets"].get(key) == value for key, value in facets.items())]


def facets_of(figures: Figures, scenario: str, facet: str) -> list[Any]:
    """Return the values that a facet has in a scenario, in their order."""
    return list(dict.fromkeys(case["facets"][facet] for case in cases_of(figures, scenario) if facet in case["facets"]))


def sides_of(cases: list[Mapping[str, Any]]) -> list[str]:
    """Return all sides of some cases, in their order."""
    return list(dict.fromkeys(side for case in cases for side in case["medians"]))


def points(cases: list[Mapping[str, Any]], facet: str, side: str) -> Iterator[tuple[Any, float]]:
    """Yield the median of a side by the value of a facet."""
    for case in cases:
        if side in case["medians"] and facet in case["facets"]:
            yield case["facets"][facet], case["medians"][side]
