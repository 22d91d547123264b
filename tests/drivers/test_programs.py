"""Postgres's own programs: psql and pgbench."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.integration.proxied_postgres import ProxiedPostgres
from tests.servers.processes import wait_until


def _psql(proxied: ProxiedPostgres, *commands: str, url: str = "", given: str = "") -> str:
    arguments = [argument for command in commands for argument in ("-c", command)]
    ran = subprocess.run(
        [proxied.server.programs / "psql", "-X", "-A", "-t", url or proxied.url(), *arguments],
        input=given,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return ran.stdout + ran.stderr


_READ = "SELECT * FROM kinds WHERE id = 7"


def test_psql_reads_hits_and_a_direct_write(proxied: ProxiedPostgres) -> None:
    expected = _psql(proxied, _READ, url=proxied.direct_url)
    assert "name 7" in expected

    def five_hits() -> bool:
        before = proxied.hits()
        assert _psql(proxied, *[_READ] * 5) == expected * 5
        return proxied.hits() - before == 5

    wait_until(five_hits, "five hits")

    proxied.server.execute("UPDATE kinds SET name = 'written directly' WHERE id = 7")
    wait_until(lambda: "written directly" in _psql(proxied, _READ), "the direct write")


@pytest.mark.parametrize(
    "commands",
    [
        ["SELECT * FROM kinds WHERE id = 0", "SELECT * FROM kinds WHERE id = -1", "SELECT 1 WHERE false"],
        ["SELECT * FROM kinds ORDER BY id"],
        ["SELECT 1/0", "SELECT * FROM missing", "SELECT name FROM kinds WHERE id = 3"],
        ["BEGIN", "INSERT INTO notes VALUES (1, 'a')", "SELECT * FROM notes", "ROLLBACK", "SELECT * FROM notes"],
        ["PREPARE p AS SELECT name FROM kinds WHERE id = $1", "EXECUTE p(4)", "EXECUTE p(4)", "DEALLOCATE p"],
        ["COPY (SELECT id, name FROM kinds WHERE id < 5 ORDER BY id) TO STDOUT"],
        ["DO $$ BEGIN RAISE NOTICE 'noticed'; END $$", "SELECT 1; SELECT 2; SELECT 3"],
        [r"\d kinds", r"\dt", r"\l postgres", r"\du postgres"],
        [r"\bind 4", r"SELECT name FROM kinds WHERE id = $1 \bind 4 \g"],
    ],
)
def test_psql_shows_what_it_shows_without_the_proxy(proxied: ProxiedPostgres, commands: list[str]) -> None:
    expected = _psql(proxied, *commands, url=proxied.direct_url)
    for _ in range(3):
        assert _psql(proxied, *commands) == expected


def test_psql_scripts_copy_and_bind(proxied: ProxiedPostgres) -> None:
    script = r"""
        \copy notes FROM STDIN
1	first
2	second
\.
        SELECT * FROM notes ORDER BY id;
        \copy (SELECT body FROM notes ORDER BY id) TO STDOUT
        SELECT name FROM kinds WHERE id = $1 \bind 11 \g
        SELECT name FROM kinds WHERE id = $1 \bind 11 \g
        SELECT name FROM kinds WHERE id = $1 \parse named
        \bind_named named 12 \g
        \bind_named named 12 \g
        SELECT 'SELECT ' || id || ' AS made' FROM notes ORDER BY id \gexec
        TRUNCATE notes;
    """
    assert _psql(proxied, given=script) == _psql(proxied, url=proxied.direct_url, given=script)


@pytest.mark.parametrize("mode", ["simple", "extended", "prepared"])
def test_pgbench_reads_hits_in_every_mode(proxied: ProxiedPostgres, tmp_path: Path, mode: str) -> None:
    script = tmp_path / "read.sql"
    script.write_text("\\set id random(1, 100)\nSELECT name FROM kinds WHERE id = :id;\n")
    before = proxied.hits()
    transactions = _pgbench(proxied, "-M", mode, "-n", "-f", script, "-c", "4", "-t", "1000")

    assert transactions == 4000
    assert proxied.hits() - before > 3000


@pytest.mark.parametrize("mode", ["simple", "extended", "prepared"])
def test_pgbench_writes_and_reads_back_in_every_mode(proxied: ProxiedPostgres, mode: str) -> None:
    _pgbench(proxied, "-i", "-s", "1", "-q")
    assert _pgbench(proxied, "-M", mode, "-n", "-c", "4", "-t", "50") == 200
    sums = "SELECT (SELECT sum(abalance) FROM pgbench_accounts) = (SELECT sum(bbalance) FROM pgbench_branches)"
    with proxied.connect() as connection:
        assert connection.execute("SELECT count(*) FROM pgbench_history").fetchone() == (200,)
        wait_until(lambda: connection.execute(sums).fetchone() == (True,), "equal sums")


def _pgbench(proxied: ProxiedPostgres, *arguments: "str | Path") -> int:
    """Run pgbench; return how many transactions it ran, all of which went well."""
    ran = subprocess.run(
        [proxied.server.programs / "pgbench", *arguments, proxied.url()], capture_output=True, text=True, timeout=120
    )
    assert ran.returncode == 0, ran.stderr
    failed = re.search(r"number of failed transactions: (\d+)", ran.stdout)
    assert failed is None or failed[1] == "0", ran.stdout
    processed = re.search(r"number of transactions actually processed: (\d+)", ran.stdout)
    return int(processed[1]) if processed else 0
