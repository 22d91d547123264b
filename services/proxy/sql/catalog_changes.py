"""Which statements a change of the catalog does not touch, so that they need not be analysed anew. Pure.

An analysis rests on what does not belong to one relation, on the relations that the names in its text may mean, and on
what these lead to: the tables that a view or a policy reads, the parts of a table, what it is a part of. Where nothing
of that differs between two readings, it comes to the same. This is decided by names, and to be on the safe side by
whether a name stands anywhere in a text, so nothing has to be known of how the analysis got there.

It says nothing about the time between the two readings, when a name may have meant something else for a moment.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from services.proxy.sql.snapshot import Catalog, Relation

_MOST_NAMES = 64  # each is looked for in each text
_MOST_RELATIONS = 300  # that differ; each name is compared with each
_QUOTE = '"'  # doubled within quotes
_ESCAPED_NAME = 'u&"'


class Changes:
    """The difference between two readings of the catalog, as statements feel it."""

    __slots__ = ("_names",)

    def __init__(self, names: Iterable[str]) -> None:
        """Prepare; `names` are those of the relations that differ, with case folded."""
        self._names = tuple(names)

    def touches(self, template: str) -> bool:
        """Tell whether a statement may have to be analysed anew, by its template."""
        text = template.casefold()
        return _ESCAPED_NAME in text or any(name in text for name in self._names)


def changes_between(before: Catalog, after: Catalog) -> Changes | None:
    """Return what differs between two readings; None where it may be anything, for all that is known."""
    if not (before.complete and after.complete and _but_for_relations(before) == _but_for_relations(after)):
        return None
    oids = _with_what_rests_on_them(before, after, _differing(before, after))
    if len(oids) > _MOST_RELATIONS:
        return None
    names = {relation.name.casefold() for relation in _relations_of(oids, before, after)}
    shortest = _without_longer(names)
    if len(shortest) > _MOST_NAMES or any(_QUOTE in name for name in shortest):
        return None
    return Changes(shortest)


def _but_for_relations(catalog: Catalog) -> Catalog:
    return replace(catalog, stamp="", relation_parts={}, relations={}, views={}, policies={})


def _differing(before: Catalog, after: Catalog) -> set[int]:
    """Return the OIDs of the relations that came, went, or are not what they were."""

    def seen(catalog: Catalog, oid: int) -> tuple[object, ...]:
        tables = (catalog.by_oid, catalog.relation_parts, catalog.views, catalog.policies)
        return tuple(table.get(oid) for table in tables)

    known = before.by_oid.keys() | after.by_oid.keys() | before.relation_parts.keys() | after.relation_parts.keys()
    return {oid for oid in known if seen(before, oid) != seen(after, oid)}


def _with_what_rests_on_them(before: Catalog, after: Catalog, oids: set[int]) -> set[int]:
    """Add what they are a part of and what is a part of them, and the views and policies that may name any of these.

    What is beyond `_MOST_RELATIONS` is incomplete.
    """
    found = set(oids)
    for catalog in (before, after):
        found.update(relation.oid for relation in catalog.by_oid.values() if not oids.isdisjoint(relation.ancestors))
    found.update(oid for relation in _relations_of(oids, before, after) for oid in relation.ancestors)
    definitions = {
        oid: "\n".join(texts).casefold() for catalog in (before, after) for oid, texts in _definitions(catalog)
    }
    while len(found) <= _MOST_RELATIONS:
        names = _without_longer(relation.name.casefold() for relation in _relations_of(found, before, after))
        more = {oid for oid, text in definitions.items() if oid not in found and any(name in text for name in names)}
        if not more:
            break
        found |= more
    return found


def _definitions(catalog: Catalog) -> Iterator[tuple[int, list[str]]]:
    """Give the texts by which relations lead to others."""
    for oid, definition in catalog.views.items():
        yield oid, [definition]
    for oid, policies in catalog.policies.items():
        yield oid, [policy.expression for policy in policies]


def _relations_of(oids: set[int], before: Catalog, after: Catalog) -> Iterator[Relation]:
    """Give what they were and what they are."""
    for catalog in (before, after):
        for oid in oids:
            relation = catalog.by_oid.get(oid)
            if relation is not None:
                yield relation


def _without_longer(names: Iterable[str]) -> list[str]:
    """Leave out the names in which another one stands: whatever names them, names that one."""
    shortest: list[str] = []
    for name in sorted(set(names), key=len):
        if not any(shorter in name for shorter in shortest):
            shortest.append(name)
    return shortest
