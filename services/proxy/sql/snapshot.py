"""What Postgres' catalogs say, as far as the verdicts need it: an immutable value. Pure.

The *fingerprint* of a statement is made of a global part (functions, operators, types, roles, schemas, ...) and one
part per relation, so that changing one table leaves the answers of the others reachable.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from typing import Any

from services.proxy.sql.reasons import Reason

CATALOG_SCHEMA = "pg_catalog"
_MOST_SETTINGS = 64  # which policies read; answers that others have a part in are not cached
FIRST_USER_OID = 16384  # FirstNormalObjectId: what has a smaller one came with Postgres


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Attributes:
        type_name: Name of its type; of the element's for an array.
        user_type: Its type, or its element's, was defined in the database and is no enum.
        generated: Computed from other columns, here or in a part, so it may be missing from the WAL stream.
        deterministic: Its collation calls only equal bytes equal.
        is_enum: Its type is an enum, and not an array of one.
        not_null: No row has NULL there, in no part either.
    """

    name: str
    type_oid: int
    type_name: str
    user_type: bool
    generated: bool
    deterministic: bool
    is_enum: bool = False
    not_null: bool = False


@dataclass(frozen=True, slots=True)
class Relation:
    """A relation of any kind.

    Attributes:
        kind: `pg_class.relkind`: r table, v view, m materialized view, p partitioned, f foreign, S sequence, i index,
        ... persistence: p permanent, u unlogged, t temporary. row_security: Row-level security is enabled.
        temporary_children: Some table below it by INHERITS is a temporary one of some session. user_triggers: It has
        triggers that are not Postgres' own. rules: It has rewrite rules. cascades: A foreign key that points at it
        deletes or updates rows elsewhere. user_code: A default, constraint, generated column or index of it calls what
        was defined in the database. identity: `pg_class.relreplident`: d default, i index, f full, n nothing.
        identity_columns: Names of the columns that an update or delete reports of the old row. primary_key: Names in
        the key's order; empty when there is none. publication_entry: OID of its pg_publication_rel row, of a table with
        parts see `tree_entry`; None when its own changes are not published in full. ancestors: OIDs of the tables that
        it is a part of, as a partition or by INHERITS. parts: OIDs of the others that its rows are in: partitions with
        rows of their own, or all that is below it by INHERITS. whole: All of these are followed.
    """

    oid: int
    schema: str
    name: str
    kind: str
    persistence: str
    row_security: bool
    temporary_children: bool
    user_triggers: bool
    rules: bool
    cascades: bool
    user_code: bool
    identity: str
    identity_columns: frozenset[str]
    primary_key: tuple[str, ...]
    publication_entry: int | None
    columns: tuple[Column, ...]
    ancestors: tuple[int, ...] = ()
    parts: tuple[int, ...] = ()
    whole: bool = True

    def column(self, name: str) -> Column | None:
        """Return the column of that name."""
        return next((column for column in self.columns if column.name == name), None)


@dataclass(frozen=True, slots=True)
class Policy:
    """One expression of a row security policy.

    Attributes:
        name: The policy's name.
        of_reads: It decides which rows a SELECT shows: what stands behind USING, in a policy for SELECT or ALL.
        expression: Its text, in which literals stand for what it asks of the session (`policy_text.py`).
        settings: Names of the settings that it asks for.
        refusal: Why what it asks for cannot be told; None when it can.
    """

    name: str
    of_reads: bool
    expression: str
    settings: tuple[str, ...] = ()
    refusal: Reason | None = None


@dataclass(frozen=True, slots=True)
class Functions:
    """Names of functions.

    Attributes:
        immutable: Everything of that name in pg_catalog depends on its arguments alone.
        steady: Everything of that name in pg_catalog is immutable or stable.
        builtin: Every name of pg_catalog.
        user: Defined in this database.
        competing: Those of `user` that a call with built-in types might mean.
        on_rows: Can be called with a row, so `x.name` may call them.
    """

    immutable: frozenset[str]
    steady: frozenset[str]
    builtin: frozenset[str]
    user: frozenset[str]
    competing: frozenset[str]
    on_rows: frozenset[str]


@dataclass(frozen=True, slots=True)
class Operators:
    """Symbols of operators; `competing` were defined in this database and might be meant with built-in types."""

    builtin: frozenset[str]
    competing: frozenset[str]


@dataclass(frozen=True)
class Catalog:
    """One reading of the catalogs.

    Attributes:
        publication: Name of the publication whose entries count.
        version: `server_version_num`.
        stamp: What `catalog_stamp` gives as long as nothing changed.
        global_part: Fingerprint of everything that does not belong to one relation.
        relation_parts: Fingerprint per relation OID, of what is below it too.
        relations: Every relation by schema and name; temporary ones and TOAST tables excepted.
        builtin_types: Names of the types that come with Postgres.
        user_casts: A cast was defined in the database between types that values of a cached statement may have.
        user_text_search: Text search may run code that did not come with Postgres: parsers, templates of dictionaries.
        text_search_names: Changes whenever a name may mean another text search configuration.
        views: Definitions of the views that were made in the database, by OID.
        read_views: What has been made of them so far (`views.py`); no part of the value.
        name_spaces: Changes whenever a schema, or who may use it, does: a session's search path may then mean others.
        policies: Of each table that has row security policies.
        read_policies: What has been made of them so far (`policies.py`); no part of the value.
        policies_known: They could be read: somebody may keep a table locked.
        complete: All could be read; else it is to be read again.
        loaded: When the server's configuration was read last: settings of sessions may then be others.
    """

    publication: str
    version: int
    stamp: str
    global_part: str
    relation_parts: Mapping[int, str]
    relations: Mapping[tuple[str, str], Relation]
    functions: Functions
    operators: Operators
    builtin_types: frozenset[str]
    user_casts: bool
    name_spaces: str
    user_text_search: bool = False
    text_search_names: int = 0
    views: Mapping[int, str] = field(default_factory=dict)
    read_views: dict[int, Any] = field(default_factory=dict, compare=False, repr=False)
    policies: Mapping[int, tuple[Policy, ...]] = field(default_factory=dict)
    read_policies: dict[int, Any] = field(default_factory=dict, compare=False, repr=False)
    policies_known: bool = True
    complete: bool = True
    loaded: str = ""

    @cached_property
    def policy_settings(self) -> tuple[str, ...]:
        """Names of the settings that policies for reads ask for, up to a number: sessions are asked for them, too."""
        found = (policy for policies in self.policies.values() for policy in policies if policy.of_reads)
        return tuple(sorted({name for policy in found for name in policy.settings})[:_MOST_SETTINGS])

    @cached_property
    def by_oid(self) -> dict[int, Relation]:
        """Every relation by OID."""
        return {relation.oid: relation for relation in self.relations.values()}

    def resolve(self, schema: str, name: str, search_path: Iterable[str]) -> Relation | None:
        """Return the relation that a name means; an empty schema means the first schema of the path that has one."""
        if schema:
            return self.relations.get((schema, name))
        found = (self.relations.get((candidate, name)) for candidate in search_path)
        return next((relation for relation in found if relation is not None), None)

    def fingerprint(self, relations: Iterable[int]) -> str:
        """Return the fingerprint of statements that depend on these relations: part of their answers' keys."""
        digest = blake2b(self.global_part.encode(), digest_size=12)
        for oid in sorted(set(relations)):
            digest.update(f"|{oid}:{self.relation_parts.get(oid, '')}".encode())
        return digest.hexdigest()
