"""Tables that have rows in others: partitioned tables in their partitions, parents by INHERITS in their children. Pure.

Whether all of those rows are followed decides whether a read of the table may be cached. Proxies and CDC service come
to one number for it, each from its own look at the catalog (`tree_entry`): what they see differently is not cached.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b

from services.proxy.sql.snapshot import Column, Relation
from services.shared.relation import ancestors_by_relation, tree_entry

_NOT_FOLLOWED = 0
_DIGEST_BYTES = 8


def with_trees(relations: Iterable[Relation], parents: Mapping[int, Sequence[int]]) -> list[Relation]:
    """Tell relations what they are a part of, which tables their rows are in, and whether all of those are followed.

    Args:
        relations: All of the catalog.
        parents: What each relation is a partition or, by INHERITS, a child of.
    """
    ancestors = ancestors_by_relation(parents)
    placed = [replace(relation, ancestors=ancestors.get(relation.oid, ())) for relation in relations]
    below: dict[int, list[Relation]] = defaultdict(list)
    for relation in placed:
        for ancestor in relation.ancestors:
            below[ancestor].append(relation)
    return [_with_parts(relation, below.get(relation.oid, ())) for relation in placed]


def _with_parts(relation: Relation, below: Sequence[Relation]) -> Relation:
    parts = [part for part in below if part.kind != "p"]
    entries = [(part.oid, _followed_entry(part)) for part in parts]
    whole = all(entry != _NOT_FOLLOWED for _, entry in entries)
    entry = relation.publication_entry
    if relation.kind == "p":
        entry = tree_entry(entries) if whole else None
    elif parts and entry is not None:
        entry = tree_entry([(relation.oid, entry), *entries])
    temporary = relation.temporary_children or any(part.temporary_children for part in parts)
    return replace(
        relation,
        parts=tuple(part.oid for part in parts),
        publication_entry=entry,
        temporary_children=temporary,
        whole=whole and not temporary,
        columns=_as_in_all(relation.columns, parts),
    )


def _as_in_all(columns: tuple[Column, ...], parts: Sequence[Relation]) -> tuple[Column, ...]:
    """Mark the columns that are generated in some part, since its changes do not tell of them, or NULL in some.

    Before Postgres 16 a column may be generated in a child, and not in the parent; and a child may allow NULLs.
    """
    generated = {column.name for part in parts for column in part.columns if column.generated}
    nullable = {column.name for part in parts for column in part.columns if not column.not_null}
    return tuple(
        replace(
            column,
            generated=column.generated or column.name in generated,
            not_null=column.not_null and column.name not in nullable,
        )
        for column in columns
    )


def _followed_entry(part: Relation) -> int:
    if part.kind != "r" or part.persistence != "p" or not part.identity_columns:
        return _NOT_FOLLOWED
    return part.publication_entry or _NOT_FOLLOWED


def fingerprints_of_trees(own: Mapping[int, str], parents: Mapping[int, Sequence[int]]) -> dict[int, str]:
    """Return the fingerprint of each relation together with those of all that is below it.

    What is done to a part alone may alter what is read of the whole without a row event: another expression for its
    generated column, or that it was detached and attached again.

    Args:
        own: Of each relation, its own.
        parents: As above.
    """
    below: dict[int, list[int]] = defaultdict(list)
    for relation, ancestors in ancestors_by_relation(parents).items():
        for ancestor in ancestors:
            below[ancestor].append(relation)
    return {relation: _together(fingerprint, below.get(relation, ()), own) for relation, fingerprint in own.items()}


def _together(fingerprint: str, below: Sequence[int], own: Mapping[int, str]) -> str:
    if not below:
        return fingerprint
    digest = blake2b(fingerprint.encode(), digest_size=_DIGEST_BYTES)
    for relation in sorted(below):
        digest.update(f"|{relation}:{own.get(relation, '')}".encode())
    return digest.hexdigest()
