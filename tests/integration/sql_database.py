"""The databases on which the verdicts are tried: the schema of `sql_schema.sql`, published as the CDC service would."""

import asyncio
from pathlib import Path

import asyncpg

from services.proxy.sql.catalog import Catalog, catalog_stamp, load_catalog
from services.proxy.sql.template import lex
from services.proxy.sql.verdict import Analysis, NameSpace, analyse
from tests.servers.postgres import PostgresServer

PUBLICATION = "tidegate_test"
_SCHEMA = (Path(__file__).parent / "sql_schema.sql").read_text(encoding="utf-8")
_PUBLISHED = (
    'users, orders, items, shop.users, other.users, other.only_there, "Odd Schema"."Mixed ""Case""", keyed_by_text, '
    "keyed_by_varchar, keyed_by_uuid, keyed_by_char, keyed_by_enum, other_identity, full_identity, no_identity, "
    "nothing_identity, secured, parent, family, other_family, family_child, family_grandchild, parted_low, "
    "with_domain, with_timetz, with_reg, with_trigger, with_rule, with_default"
)


def make_schema(server: PostgresServer, database: str) -> None:
    """Create the schema and the publication in an empty database."""
    server.execute(_SCHEMA, database=database)
    server.execute(f"CREATE PUBLICATION {PUBLICATION} FOR TABLE {_PUBLISHED}", database=database)


def read_catalog(server: PostgresServer, database: str, user: str = "postgres") -> Catalog:
    """Load the catalog as the proxy would."""

    async def load() -> Catalog:
        connection = await asyncpg.connect(server.url(database, user))
        try:
            return await load_catalog(connection, PUBLICATION)
        finally:
            await connection.close()

    return asyncio.run(load())


def read_stamp(server: PostgresServer, database: str, user: str = "postgres") -> str:
    """Read the stamp as the proxy would."""

    async def stamp() -> str:
        connection = await asyncpg.connect(server.url(database, user))
        try:
            return await catalog_stamp(connection, PUBLICATION)
        finally:
            await connection.close()

    return asyncio.run(stamp())


def judge(text: str, catalog: Catalog, *schemas: str) -> Analysis:
    """Analyse a statement in the name space of a search path (without pg_catalog)."""
    return analyse(lex(text), catalog, NameSpace(("pg_catalog", *(schemas or ("public",)))))


def names(catalog: Catalog, oids: tuple[int, ...]) -> set[str]:
    """Return schema.name of each relation, and of the parts that its rows are in."""
    relations = [catalog.by_oid[oid] for oid in oids]
    parts = [catalog.by_oid[oid] for relation in relations for oid in relation.parts]
    return {f"{relation.schema}.{relation.name}" for relation in (*relations, *parts)}
