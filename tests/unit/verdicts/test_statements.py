"""How statements are cut out of scripts."""

from tests.verdicts.statements import keep_tables, reads_in_file, reads_in_script


def test_reads_are_cut_out_of_what_stands_around_them() -> None:
    script = r"""
-- a comment
SELECT 1; EXPLAIN (costs off) SELECT 2 FROM a; explain verbose (select 3);
CREATE OR REPLACE TEMP VIEW v AS WITH w AS (SELECT 4) SELECT * FROM w; CREATE TABLE t AS TABLE u;
DECLARE c CURSOR FOR SELECT 5; PREPARE p (int) AS VALUES ($1);
INSERT INTO t SELECT 6; SELECT 7 \gset
UPDATE t SET a = (SELECT 8);
"""
    assert list(reads_in_script(script)) == [
        "SELECT 1", "SELECT 2 FROM a", "(select 3)", "WITH w AS (SELECT 4) SELECT * FROM w", "TABLE u", "SELECT 5",
        "VALUES ($1)", "SELECT 7",
    ]  # fmt: skip
    assert list(reads_in_file("-- what\nSELECT 1\n  FROM a\n\nSELECT 2\n")) == ["SELECT 1\n  FROM a", "SELECT 2"]


def test_tables_are_kept() -> None:
    script = "CREATE TEMP TABLE a (b int);\n-- away\nDROP TABLE a;\nDROP FUNCTION f; SELECT 1;"
    assert keep_tables(script) == "CREATE TABLE a (b int);\nDROP FUNCTION f; SELECT 1;"
