"""Records what a real server sends: `python -m tests.unit.cdc.record_samples DSN FILE` (wal_level logical, superuser).

The samples beside this file were written by it and are replayed by the decoder's tests; run it again against a new
version of Postgres, and look at what changed.
"""

import asyncio
import json
import sys
from pathlib import Path

import asyncpg

TABLES = """
    CREATE TYPE mood AS ENUM ('sad', 'happy');
    CREATE TABLE sample (id int PRIMARY KEY, name text, amount numeric(8,2), feeling mood, big text);
    CREATE TABLE sample_full (a int, b text);
    ALTER TABLE sample_full REPLICA IDENTITY FULL;
    CREATE TABLE sample_index (a int NOT NULL UNIQUE, b text);
    ALTER TABLE sample_index REPLICA IDENTITY USING INDEX sample_index_a_key;
    ALTER TABLE sample ALTER big SET STORAGE EXTERNAL;
    CREATE PUBLICATION sample FOR TABLE sample, sample_full, sample_index;
"""
CHANGES = (
    "INSERT INTO sample VALUES (1, 'naïve ☃', 1.50, 'happy', repeat('x', 3000)), (2, NULL, NULL, NULL, NULL)",
    "UPDATE sample SET name = 'plain' WHERE id = 1",
    "UPDATE sample SET id = 3 WHERE id = 2",
    "DELETE FROM sample WHERE id = 3",
    "INSERT INTO sample_full VALUES (1, 'one'), (2, NULL)",
    "UPDATE sample_full SET b = 'zwei' WHERE a = 2",
    "DELETE FROM sample_full WHERE a = 1",
    "INSERT INTO sample_index VALUES (1, 'one')",
    "UPDATE sample_index SET a = 2",
    "TRUNCATE sample, sample_full RESTART IDENTITY CASCADE",
    "SELECT pg_logical_emit_message(true, 'prefix', 'in a transaction')",
    "SELECT pg_logical_emit_message(false, 'tidegate', '')",
    "SELECT pg_replication_origin_create('elsewhere')",
    """DO $$ BEGIN
        PERFORM pg_replication_origin_session_setup('elsewhere');
        PERFORM pg_replication_origin_xact_setup('1/2345678', '2024-02-03 04:05:06+00');
        INSERT INTO sample VALUES (7, 'from elsewhere', 0, 'sad', '');
    END $$""",
    "SELECT pg_replication_origin_session_reset()",
)
STREAMED = (
    "INSERT INTO sample_full SELECT n, repeat('y', 20) FROM generate_series(1, 600) n",
    """DO $$ BEGIN
        INSERT INTO sample_full SELECT n, 'kept' FROM generate_series(1, 600) n;
        BEGIN
            INSERT INTO sample_full SELECT n, 'lost' FROM generate_series(1, 600) n;
            RAISE division_by_zero;
        EXCEPTION WHEN division_by_zero THEN NULL;
        END;
        TRUNCATE sample_index;
        PERFORM pg_logical_emit_message(true, 'prefix', 'streamed');
    END $$""",
)


async def record(dsn: str) -> str:
    """Make the tables, change them, and return what pgoutput says of it, as JSON."""
    connection = await asyncpg.connect(dsn)
    version = connection.get_server_version().major
    await connection.execute(TABLES)
    await connection.execute("SET logical_decoding_work_mem = '64kB'")
    plain = await _session(connection, CHANGES, "'proto_version', '1', 'messages', 'true'")
    streamed = await _session(connection, STREAMED, "'proto_version', '2', 'messages', 'true', 'streaming', 'on'")
    await connection.close()
    return json.dumps({"server": version, "plain": plain, "streamed": _thin(streamed)}, indent=0)


async def _session(
    connection: "asyncpg.Connection[asyncpg.Record]", changes: tuple[str, ...], options: str
) -> list[str]:
    await connection.execute("SELECT pg_create_logical_replication_slot('sample', 'pgoutput')")
    for change in changes:
        await connection.execute(change)
    rows = await connection.fetch(
        "SELECT encode(data, 'hex') FROM pg_logical_slot_get_binary_changes("
        f"'sample', NULL, NULL, 'publication_names', 'sample', {options})"
    )
    await connection.execute("SELECT pg_drop_replication_slot('sample')")
    return [row[0] for row in rows]


def _thin(messages: list[str]) -> list[str]:
    """Leave out most of a run of inserts."""
    kept: list[str] = []
    for message in messages:
        if not (message[:2] == "49" and len(kept) > 1 and kept[-1][:2] == kept[-2][:2] == "49"):
            kept.append(message)
    return kept


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(asyncio.run(record(sys.argv[1])))
