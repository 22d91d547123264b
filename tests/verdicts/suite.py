"""The corpora, each in a database of its own, and what came out of them.

Postgres's regression files are run to their end twice, in two databases: as they are, and without what drops or hides
tables (`keep_tables`). Then every read of all files is judged that Postgres takes in either. Files leave other things
behind than their reads were written for, which only makes the statements odder.
"""

import asyncio
from collections.abc import Iterable, Iterator
from pathlib import Path

import asyncpg
import psycopg

from services.cdc.control import ControlConnection
from services.cdc.publication import create_publication
from services.cdc.setup import publish_tables
from services.proxy.sql.catalog import Catalog, load_catalog
from services.shared.runtime.upstream import parse_upstream
from tests.conformance.postgres_source import scheduled_files
from tests.conformance.regression import RegressionSuite
from tests.conformance.sides import SETTINGS, Side
from tests.integration.sql_corpus import by_hand, combined
from tests.integration.sql_database import make_schema
from tests.servers.postgres import PostgresServer
from tests.verdicts.findings import Findings, examine
from tests.verdicts.statements import distinct, keep_tables, reads_in_file, reads_in_script

_HERE = Path(__file__).parent
_PUBLICATION = "tidegate_default"
_GENERATED = 5_000
_SEED = 1
# A prepared transaction that is never ended, now that a statement before it fails, would hold its locks for ever.
_SETTINGS = SETTINGS | {"max_prepared_transactions": 0, "lock_timeout": "5s"}
# A statement that takes longer is not run twice; with workers, what has no order comes in any.
_OPTIONS = "-c statement_timeout=3s -c max_parallel_workers_per_gather=0"


def examine_all(version: str, source: Path, results: Path) -> Iterator[Findings]:
    """Examine every corpus.

    Args:
        version: Postgres's major version.
        source: The folder with the regression files.
        results: Where psql's outputs are kept.
    """
    with PostgresServer(version) as server:
        for examine_one in (examine_orm, examine_applications, examine_generated):
            with server.database("verdicts") as database:
                yield examine_one(server, database)
    yield from examine_regression(version, source, results)


def examine_orm(server: PostgresServer, database: str) -> Findings:
    """Examine what object-relational mappers send, in an empty database."""
    return _examine_shop("orm", server, database)


def examine_applications(server: PostgresServer, database: str) -> Findings:
    """Examine what applications ask beyond that, in an empty database."""
    return _examine_shop("applications", server, database)


def _examine_shop(name: str, server: PostgresServer, database: str) -> Findings:
    server.execute((_HERE / "orm_schema.sql").read_text(encoding="utf-8"), database=database)
    texts = reads_in_file((_HERE / f"{name}_corpus.sql").read_text(encoding="utf-8"))
    return _examine(name, texts, server, database)


def examine_generated(server: PostgresServer, database: str, count: int = _GENERATED) -> Findings:
    """Examine statements made of parts, in an empty database."""
    make_schema(server, database)
    return _examine("generated", [*by_hand(), *combined(_SEED, count)], server, database)


def examine_regression(version: str, source: Path, results: Path) -> Iterator[Findings]:
    """Examine the reads in Postgres's regression files, as they are and with all tables kept.

    Args:
        version: Postgres's major version.
        source: The folder with `sql`, `data` and `parallel_schedule`.
        results: Where psql's outputs are kept.
    """
    texts = distinct(_reads_in(source))
    for name, rewrite in (("regression", str), ("regression, tables kept", keep_tables)):
        suite = RegressionSuite("verdicts", source, results, rewrite)
        with PostgresServer(version, **(dict(suite.settings) | _SETTINGS)) as server:
            suite.prepare(server)
            suite.run(Side("direct", server, server.port), None, rewrite.__name__)
            server.execute("DROP EVENT TRIGGER conformance", database=suite.database)
            yield _examine(name, texts, server, suite.database)


def _reads_in(source: Path) -> Iterator[str]:
    for name in scheduled_files(source)[0]:
        script = (source / "sql" / f"{name}.sql").read_bytes()
        try:
            yield from reads_in_script(script.decode())
        except UnicodeDecodeError:  # on purpose; their statements are ASCII but for some
            yield from reads_in_script(script.decode("latin-1"))


def _examine(name: str, texts: Iterable[str], server: PostgresServer, database: str) -> Findings:
    catalog = asyncio.run(_published(server.url(database)))
    with psycopg.connect(server.url(database), autocommit=True, options=_OPTIONS) as connection:
        return examine(name, distinct(texts), catalog, connection)


async def _published(url: str) -> Catalog:
    """Publish every table that can be followed, as the CDC service does, and read the catalog as the proxy does."""
    control = await ControlConnection.open(parse_upstream(url), "tidegate-verdicts")
    try:
        await create_publication(control, _PUBLICATION)
        await publish_tables(control, _PUBLICATION)
    finally:
        await control.close()
    connection = await asyncpg.connect(url)
    try:
        return await load_catalog(connection, _PUBLICATION)
    finally:
        await connection.close()
