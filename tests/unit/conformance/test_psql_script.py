"""psql scripts, cut into statements: none is lost, and a read is found where psql would send one."""

import pytest

from tests.conformance.psql_script import repeat_reads, statements


def reads(script: str) -> int:
    return repeat_reads(script).count("pg_sleep")


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
        ("SELECT 1;", 1),
        ("-- why\n/* so */ select 1;\nWITH a AS (SELECT 1) SELECT * FROM a;\nTABLE t; VALUES (1);", 4),
        ("INSERT INTO t SELECT 1; UPDATE t SET a = 1; SELECTION;", 0),
        ("SELECT 1 AS x \\gset\nSELECT 2;", 0),  # what a meta-command has a hand in is left alone
        ("SELECT 1\\; SELECT 2;\nSELECT 3;\nSELECT 4;", 1),
        ("COPY t FROM stdin;\nSELECT 1;\n\\.\nSELECT 2;", 1),
        ("CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2);", 0),
        ("SELECT 'a\\'; SELECT 'b';", 2),
        ("SELECT 1", 0),
    ],
)
def test_plain_reads_are_repeated(script: str, count: int) -> None:
    assert reads(script) == count


def test_a_read_is_said_again_after_a_pause_without_its_comment() -> None:
    repeated = repeat_reads("-- why\nSELECT 1;")
    assert repeated == "-- why\nSELECT 1;\nSELECT pg_catalog.pg_sleep(0.02) \\g /dev/null\nSELECT 1;\nSELECT 1;"
