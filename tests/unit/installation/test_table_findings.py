"""What is said of the publication and of the tables."""

from dataclasses import replace

import pytest

from services.cdc.following import Publication
from services.cdc.tables import LeftOut, Table
from services.installation.table_findings import as_if_published, publication_findings, table_findings
from services.shared.runtime.finding import Finding, Level

_OURS = Publication(owned=True, complete=True)
_TABLE = Table(3, "public", "t", None, "default", (("id", 23),), ("id",), True, 16400, False)
_KEYLESS = replace(_TABLE, unfit=LeftOut.NO_IDENTITY, key_columns=())


def _about(table: Table, publication: Publication | None = _OURS, *, cdc_runs: bool = False) -> Finding:
    """Return what is said of one table beside one that is followed."""
    other = replace(_TABLE, oid=4, name="other", entry=16401)
    findings = table_findings("tidegate_shop", publication, [table, other], cdc_runs=cdc_runs)
    (finding,) = [finding for finding in findings if finding.tables == ("public.t",)]
    return finding


@pytest.mark.parametrize(
    ("table", "level", "remedy"),
    [
        (_KEYLESS, Level.FAIL, 'ALTER PUBLICATION "tidegate_shop" DROP TABLE ONLY "public"."t"'),
        (replace(_KEYLESS, entry=None), Level.WARN, "ADD PRIMARY KEY"),
        (replace(_KEYLESS, entry=None, identity="nothing"), Level.WARN, "REPLICA IDENTITY DEFAULT"),
        (replace(_KEYLESS, entry=None, identity="index"), Level.WARN, "REPLICA IDENTITY DEFAULT"),
        (replace(_TABLE, entry=None, unfit=LeftOut.UNLOGGED), Level.WARN, "SET LOGGED"),
        (replace(_TABLE, unfit=LeftOut.GENERATED_IDENTITY), Level.FAIL, "DROP TABLE ONLY"),
        (replace(_TABLE, entry=None, unfit=LeftOut.GENERATED_IDENTITY), Level.WARN, "without generated columns"),
        (replace(_TABLE, entry=None, unfit=LeftOut.FOREIGN), Level.OK, ""),
        (replace(_TABLE, narrowed=True), Level.FAIL, "tidegate setup"),
        (replace(_TABLE, entry=None, owned=False), Level.WARN, "an administrator"),
        (replace(_TABLE, entry=None), Level.OK, ""),
    ],
)
def test_what_is_said_of_a_table(table: Table, level: Level, remedy: str) -> None:
    finding = _about(table)

    assert finding.level is level
    assert remedy in finding.remedy
    assert bool(remedy) == bool(finding.remedy)


@pytest.mark.parametrize(
    ("leaf", "level", "words"),
    [
        (_TABLE, Level.OK, "followed"),
        (replace(_TABLE, entry=None), Level.OK, "to be published"),
        (replace(_KEYLESS, entry=None), Level.WARN, "one of its partitions is not followed"),
    ],
)
def test_a_partitioned_table_is_as_good_as_its_partitions(leaf: Table, level: Level, words: str) -> None:
    root = replace(_TABLE, oid=9, name="root", entry=None, partitioned=True)
    leaf = replace(leaf, ancestors=(9,))

    (finding,) = [f for f in table_findings("p", _OURS, [leaf, root]) if "public.root" in f.tables]

    assert finding.level is level
    assert words in finding.text


@pytest.mark.parametrize(
    ("child", "level", "words"),
    [
        (_TABLE, Level.OK, "followed"),
        (replace(_TABLE, entry=None), Level.OK, "followed"),
        (replace(_KEYLESS, entry=None), Level.WARN, "INHERITS that are not followed: public.t"),
        (replace(_TABLE, entry=None, unfit=LeftOut.FOREIGN), Level.WARN, "INHERITS that are not followed: public.t"),
        (replace(_TABLE, temporary_children=True), Level.WARN, "not followed: a temporary table of some session"),
    ],
)
def test_a_parent_is_cached_with_its_children_if_all_of_them_are_followed(
    child: Table, level: Level, words: str
) -> None:
    parent = replace(_TABLE, oid=9, name="parent", entry=16499)

    findings = table_findings("p", _OURS, [replace(child, ancestors=(9,)), parent])

    (finding,) = [finding for finding in findings if "public.parent" in finding.tables]
    assert finding.level is level
    assert words in finding.text


@pytest.mark.parametrize(("leaf", "level"), [(_TABLE, Level.WARN), (replace(_KEYLESS, entry=None), Level.FAIL)])
def test_a_partitioned_table_should_not_be_published_itself(leaf: Table, level: Level) -> None:
    root = replace(_TABLE, oid=9, name="root", entry=16499, partitioned=True)

    findings = table_findings("p", _OURS, [replace(leaf, ancestors=(9,)), root])

    assert [f.level for f in findings if f.remedy.startswith("tidegate setup takes")] == [level]
    assert as_if_published(_OURS, [root])[1][0].entry is None


def test_a_table_that_a_running_service_does_not_add_was_removed_by_somebody() -> None:
    assert "tidegate setup" in _about(replace(_TABLE, entry=None), cdc_runs=True).remedy


def test_many_tables_are_one_line_and_all_of_them_in_the_data() -> None:
    tables = [replace(_KEYLESS, oid=n, name=f"t{n}", entry=None) for n in range(100, 130)]
    (finding,) = [f for f in table_findings("p", _OURS, tables) if f.level is Level.WARN and f.tables]

    assert "and 20 more" in finding.text
    assert len(finding.tables) == 30


@pytest.mark.parametrize(
    ("publication", "level", "sql"),
    [
        (None, Level.OK, None),
        (_OURS, Level.OK, None),
        (replace(_OURS, owned=False), Level.WARN, 'ALTER PUBLICATION "p" OWNER TO "app"'),
        (replace(_OURS, complete=False), Level.FAIL, 'ALTER PUBLICATION "p" SET (publish'),
        (replace(_OURS, sweeping=True), Level.FAIL, 'DROP PUBLICATION IF EXISTS "p"'),
    ],
)
def test_what_is_said_of_the_publication(publication: Publication | None, level: Level, sql: str | None) -> None:
    (finding,) = publication_findings("p", "app", publication)

    assert finding.level is level
    assert (sql is None and not finding.sql) or (sql is not None and finding.sql[0].startswith(sql))


def test_a_rehearsal_shows_what_would_be_so() -> None:
    tables = [
        replace(_TABLE, entry=None),
        replace(_TABLE, narrowed=True),
        _KEYLESS,
        replace(_TABLE, entry=None, owned=False),
    ]

    publication, after = as_if_published(replace(_OURS, complete=False), tables)

    assert publication == _OURS
    assert [table.entry is not None for table in after] == [True, True, False, False]
    assert not any(table.narrowed for table in after)


def test_a_rehearsal_does_not_touch_what_is_not_ours() -> None:
    theirs = replace(_OURS, owned=False)

    assert as_if_published(theirs, [_KEYLESS]) == (theirs, [_KEYLESS])
