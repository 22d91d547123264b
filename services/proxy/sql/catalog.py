"""Reads Postgres' catalogs into a `Catalog`, and gives the cheap stamp by which a change of them is noticed."""

from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager

import asyncpg

from services.proxy.sql import catalog_queries
from services.proxy.sql.policy_text import expression
from services.proxy.sql.snapshot import Catalog, Column, Functions, Operators, Policy, Relation
from services.proxy.sql.trees import fingerprints_of_trees, with_trees

__all__ = ["Catalog", "catalog_stamp", "load_catalog"]

_LOCK_MILLISECONDS = 100
_IDENTITY_DEFAULT, _IDENTITY_INDEX, _IDENTITY_FULL = "d", "i", "f"


async def catalog_stamp(connection: "asyncpg.Connection", publication: str) -> str:
    """Return a text that changes whenever anything changes that can alter the meaning of a statement or an answer.

    Cancel-safe: yes, because the transaction is rolled back.

    Raises:
        asyncpg.PostgresError: The catalogs cannot be read.
    """
    async with _catalogs_alone(connection):
        return str(await connection.fetchval(catalog_queries.stamp_query(publication)))


async def load_catalog(connection: "asyncpg.Connection", publication: str) -> Catalog:
    """Read the catalogs, all in one snapshot.

    Cancel-safe: yes, because the transaction is rolled back.

    Raises:
        asyncpg.PostgresError: The catalogs cannot be read.
    """
    async with _catalogs_alone(connection):
        parts = await connection.fetch(catalog_queries.parts_query(publication))
        relations = await connection.fetch(catalog_queries.RELATIONS, publication)
        columns = await connection.fetch(catalog_queries.COLUMNS)
        keys = await connection.fetch(catalog_queries.KEYS)
        views = await _unless_locked(connection, catalog_queries.VIEWS)
        policies = await _unless_locked(connection, catalog_queries.POLICIES)
        bodies = await connection.fetch(catalog_queries.POLICY_FUNCTIONS)
        functions = await connection.fetch(catalog_queries.FUNCTIONS)
        operators = await connection.fetch(catalog_queries.OPERATORS)
        types = await connection.fetchval(catalog_queries.BUILTIN_TYPES)
        user_casts = await connection.fetchval(catalog_queries.USER_CASTS)
        user_text_search = await connection.fetchval(catalog_queries.USER_TEXT_SEARCH)
        text_search_names = await connection.fetchval(catalog_queries.TEXT_SEARCH_NAMES)
        stamp = await connection.fetchval(catalog_queries.stamp_query(publication))
        version = await connection.fetchval(catalog_queries.VERSION)
        loaded = await connection.fetchval(catalog_queries.LOADED)
    part_of = {int(row["relation"]): str(row["part"]) for row in parts}
    parents = {int(row["oid"]): tuple(row["parents"]) for row in relations if row["parents"]}
    found = with_trees(_relations(relations, columns, keys), parents)
    name_spaces = part_of.pop(catalog_queries.NAME_SPACES, "")
    return Catalog(
        publication=publication,
        version=int(version),
        stamp=str(stamp),
        global_part=part_of.pop(catalog_queries.GLOBAL, "") + "/" + name_spaces,
        relation_parts=fingerprints_of_trees(part_of, parents),
        relations={(relation.schema, relation.name): relation for relation in found},
        functions=_functions(functions),
        operators=Operators(
            builtin=frozenset(row["symbol"] for row in operators if row["builtin"]),
            competing=frozenset(row["symbol"] for row in operators if row["competing"]),
        ),
        builtin_types=frozenset(types),
        user_casts=bool(user_casts),
        user_text_search=bool(user_text_search),
        text_search_names=int(text_search_names),
        views={int(row["oid"]): str(row["definition"]) for row in views or ()},
        name_spaces=name_spaces,
        policies=_policies(policies or (), {(row["schema"], row["name"]): row["body"] for row in bodies}),
        policies_known=policies is not None,
        complete=policies is not None and views is not None,
        loaded=str(loaded),
    )


async def _unless_locked(connection: "asyncpg.Connection", query: str) -> "list[asyncpg.Record] | None":
    """Read what Postgres writes out of definitions, for which it locks their tables; None when somebody keeps one."""
    try:
        async with connection.transaction():
            await connection.execute(f"SET LOCAL lock_timeout = '{_LOCK_MILLISECONDS}ms'")
            found: list[asyncpg.Record] = await connection.fetch(query)
            await connection.execute("SET LOCAL lock_timeout = 0")
            return found
    except asyncpg.LockNotAvailableError:
        return None


@asynccontextmanager
async def _catalogs_alone(connection: "asyncpg.Connection") -> AsyncIterator[None]:
    """Run in one snapshot with nothing but pg_catalog on the search path: no other operator can be meant."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        await connection.execute("SET LOCAL search_path = pg_catalog")
        yield


def _relations(
    rows: "Iterable[asyncpg.Record]", column_rows: "Iterable[asyncpg.Record]", key_rows: "Iterable[asyncpg.Record]"
) -> list[Relation]:
    columns: dict[int, dict[int, Column]] = defaultdict(dict)
    for row in column_rows:
        columns[row["relation"]][row["number"]] = Column(
            name=row["name"],
            type_oid=row["type_oid"],
            type_name="enum" if row["enum"] else row["type_name"],
            user_type=row["user_type"],
            generated=row["generated"],
            deterministic=row["deterministic"],
            is_enum=row["is_enum"],
            not_null=row["not_null"],
        )
    primary: dict[int, tuple[str, ...]] = {}
    marked: dict[int, tuple[str, ...]] = {}
    for row in key_rows:
        numbered = columns.get(row["relation"], {})
        names = [numbered[number].name for number in row["numbers"][: row["key_count"]] if number in numbered]
        if row["is_primary"]:
            primary[row["relation"]] = tuple(names)
        if row["is_identity"]:
            marked[row["relation"]] = tuple(names)
    return [_relation(row, tuple(columns[row["oid"]].values()), primary, marked) for row in rows]


def _relation(
    row: "asyncpg.Record",
    columns: tuple[Column, ...],
    primary: dict[int, tuple[str, ...]],
    marked: dict[int, tuple[str, ...]],
) -> Relation:
    oid, identity = int(row["oid"]), str(row["identity"])
    identity_columns: Iterable[str] = ()
    if identity == _IDENTITY_DEFAULT:
        identity_columns = primary.get(oid, ())
    elif identity == _IDENTITY_INDEX:
        identity_columns = marked.get(oid, ())
    elif identity == _IDENTITY_FULL:
        identity_columns = (column.name for column in columns)
    return Relation(
        oid=oid,
        schema=row["schema"],
        name=row["name"],
        kind=row["kind"],
        persistence=row["persistence"],
        row_security=row["row_security"],
        temporary_children=row["temporary_children"],
        user_triggers=row["user_triggers"],
        rules=row["rules"],
        cascades=row["cascades"],
        user_code=row["user_code"],
        identity=identity,
        identity_columns=frozenset(identity_columns),
        primary_key=primary.get(oid, ()),
        publication_entry=row["publication_entry"],
        columns=columns,
    )


def _policies(rows: "Iterable[asyncpg.Record]", bodies: Mapping[tuple[str, str], str]) -> dict[int, tuple[Policy, ...]]:
    found: dict[int, list[Policy]] = defaultdict(list)
    for row in rows:
        for text, of_reads in ((row["shown"], row["of_reads"]), (row["checked"], False)):
            if text is not None:
                read = expression(text, bodies)
                found[row["relation"]].append(Policy(row["name"], of_reads, read.text, read.settings, read.refusal))
    return {relation: tuple(policies) for relation, policies in found.items()}


def _functions(rows: "Iterable[asyncpg.Record]") -> Functions:
    rows = list(rows)

    def named(mark: str) -> frozenset[str]:
        return frozenset(row["name"] for row in rows if row[mark])

    return Functions(
        immutable=named("immutable"),
        steady=named("steady"),
        builtin=named("builtin"),
        user=named("user_defined"),
        competing=named("competing"),
        on_rows=named("on_rows"),
    )
