"""Entries by what they depend on. Pure.

Most tags are of one entry: it stands there by itself then, for a set of one takes 216 bytes, and is one more object
that the search for garbage looks at.
"""

from collections.abc import Iterable

from services.proxy.cache.entry import Entry


class TagIndex:
    """The entries of each tag and of each relation."""

    def __init__(self) -> None:
        self._by_tag: dict[str, Entry | set[Entry]] = {}
        self._by_relation: dict[int, set[Entry]] = {}

    def add(self, entry: Entry) -> None:
        """Take an entry in."""
        by_tag = self._by_tag
        for tag in entry.tags:
            others = by_tag.get(tag)
            if others is None:
                by_tag[tag] = entry
            elif isinstance(others, set):
                others.add(entry)
            elif others is not entry:
                by_tag[tag] = {others, entry}
        for relation in entry.relations:
            self._by_relation.setdefault(relation, set()).add(entry)

    def discard(self, entry: Entry) -> None:
        """Take an entry out, if it is in."""
        by_tag = self._by_tag
        for tag in entry.tags:
            members = by_tag.get(tag)
            if isinstance(members, set):
                members.discard(entry)
                if len(members) == 1:
                    (by_tag[tag],) = members
            elif members is entry:
                del by_tag[tag]
        for relation in entry.relations:
            of_relation = self._by_relation.get(relation)
            if of_relation is not None:
                of_relation.discard(entry)
                if not of_relation:
                    del self._by_relation[relation]

    def find(self, tags: Iterable[str], relations: Iterable[int]) -> set[Entry]:
        """Return the entries that depend on one of these."""
        found: set[Entry] = set()
        for tag in tags:
            members = self._by_tag.get(tag)
            if isinstance(members, set):
                found |= members
            elif members is not None:
                found.add(members)
        for relation in relations:
            found |= self._by_relation.get(relation, set())
        return found
