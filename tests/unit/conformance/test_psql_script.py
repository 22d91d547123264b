"""psql scripts, cut into statements: none is lost, and a read is found where psql would send one."""

import pytest

from tests.conformance.psql_script import repeat_reads, statements

PAUSE = "SELECT pg_catalog.pg_sleep(0.02) \\g /dev/null"


def reads(script: str) -> int:
    """Count the reads that are said again: each is said twice more."""
    said = len(statements(repeat_reads(script).replace(PAUSE, "")))
    return (said - len(statements(script))) // 2


@pytest.mark.parametrize(
    "script",
    [
        "",
        "SELECT 1;",
        "-- only a comment",
        "SELECT ';', \"a;b\", $$;$$, $x$ ; $$ ; $x$, E'\\';' -- ;\n, /* ; /* ; */ ; */ 1;\nSELECT 2;\n",
        "COPY t FROM stdin;\n1\t;\n\\.\nSELECT 1;\n",
        "\\set x 1\nSELECT :x;\n\\if :x\nSELECT 'it''s';\n\\endif\n",
        "SELECT 'never closed;\n",
        "CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2);\n",
    ],
)
def test_the_statements_are_the_script(script: str) -> None:
    assert "".join(text for text, _ in statements(script)) == script


@pytest.mark.parametrize(
    ("script", "count"),
    [
        ("TABLE a;", 1),
        ("-- why\n/* so */ select 1\nfrom a;\nWITH a AS (SELECT 1) SELECT * FROM a;\nTABLE t;", 3),
        ("SELECT 1; VALUES (1); SELECT upper('x');", 0),  # of no table
        ("INSERT INTO t TABLE a; UPDATE t SET a = 1; SELECTION;", 0),
        ("SELECT 1 AS x FROM a \\gset\nTABLE a;", 0),  # what a meta-command has a hand in is left alone
        ("TABLE a\\; TABLE b;\nTABLE c;\nTABLE d;", 1),
        ("COPY t FROM stdin;\nTABLE a;\n\\.\nTABLE b;", 1),
        ("CREATE RULE r AS ON INSERT TO t DO (TABLE a; TABLE b);", 0),
        ("SELECT 'a\\' FROM a; SELECT 'b' FROM a;", 2),
        ("TABLE a", 0),
    ],
)
def test_plain_reads_are_repeated(script: str, count: int) -> None:
    assert reads(script) == count


def test_a_read_is_said_again_after_a_pause_without_its_comment() -> None:
    repeated = repeat_reads("-- why\nTABLE a;")
    assert repeated == f"-- why\nTABLE a;\n{PAUSE}\nTABLE a;\nTABLE a;"


def test_only_the_first_of_several_reads_waits() -> None:
    repeated = repeat_reads("TABLE a;\n-- and\nTABLE b;\nDELETE FROM t;\nTABLE c;\n")
    assert repeated == (
        f"TABLE a;\n{PAUSE}\nTABLE a;\nTABLE a;\n-- and\nTABLE b;\nTABLE b;\nTABLE b;"
        f"\nDELETE FROM t;\nTABLE c;\n{PAUSE}\nTABLE c;\nTABLE c;\n"
    )
