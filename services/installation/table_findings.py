"""What the publication and the tables in it deserve to have said about them. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from services.cdc.following import Publication, plan_following
from services.cdc.statements import adding, completing, dropping, quote, taking_out
from services.cdc.tables import LeftOut, Table, parts_of
from services.shared.runtime.finding import Finding, Level

_FAILING = (LeftOut.NO_IDENTITY, LeftOut.GENERATED_IDENTITY)  # while published, their UPDATE and DELETE fail
_NAMED_TABLES = 10  # in one line
_NAMED_STATEMENTS = 3
_SOME_ENTRY = 0

_REASONS = {
    LeftOut.FOREIGN: "foreign",
    LeftOut.UNLOGGED: "unlogged",
    LeftOut.GENERATED_IDENTITY: "a generated column in its replica identity, on Postgres 18",
    LeftOut.NARROWED: "published with a row filter, a column list or only some operations",
}
_REMEDIES = {
    LeftOut.UNLOGGED: "ALTER TABLE … SET LOGGED",
    LeftOut.GENERATED_IDENTITY: "give it a primary key, or a replica identity, without generated columns",
    LeftOut.NARROWED: "tidegate setup publishes them whole",
}
_KEYLESS = (
    "ALTER TABLE … ADD PRIMARY KEY (…); or, where there is a unique index on NOT NULL columns, "
    "ALTER TABLE … REPLICA IDENTITY USING INDEX …; or ALTER TABLE … REPLICA IDENTITY FULL (more WAL)"
)
_IDENTITIES = (
    ("default", "no primary key, or one that is deferrable", _KEYLESS),
    ("nothing", "REPLICA IDENTITY NOTHING", "ALTER TABLE … REPLICA IDENTITY DEFAULT"),
    ("index", "the index of its replica identity is gone", "ALTER TABLE … REPLICA IDENTITY DEFAULT"),
)
"""Tables without a usable identity: which one they have, what that means, and what to do."""


def as_if_published(publication: Publication | None, tables: Sequence[Table]) -> tuple[Publication, list[Table]]:
    """Return what the catalog shows once `services.cdc.setup.publish_tables` has run."""
    before = publication or Publication(owned=True, complete=True)
    if before.sweeping or not before.owned:
        return before, list(tables)
    return replace(before, complete=True), [_as_if_published(table) for table in tables]


def _as_if_published(table: Table) -> Table:
    if table.unfit is not None or table.partitioned:
        return replace(table, entry=None)
    if table.owned and (table.entry is None or table.narrowed):
        return replace(table, entry=_SOME_ENTRY, narrowed=False)
    return table


def publication_findings(name: str, role: str, publication: Publication | None) -> list[Finding]:
    """Judge the publication itself.

    Args:
        name: Its name.
        role: Our role.
        publication: The publication; None if there is none.
    """
    if publication is None:
        text = f"There is no publication {name} yet; the CDC service makes it when it starts, as tidegate setup does"
        return [Finding(Level.OK, "publication", text)]
    findings = []
    if publication.sweeping:
        command = dropping(name)
        text = (
            f"The publication {name} is one of all tables, or of all of a schema: UPDATE and DELETE fail on those "
            "that have no replica identity"
        )
        findings.append(Finding(Level.FAIL, "publication", text, f"{command}, then tidegate setup", (command,)))
    if not publication.complete:
        text = (
            f"The publication {name} does not publish every kind of change under the table that it happened to, "
            "so nothing is cached"
        )
        command = completing(name)
        findings.append(Finding(Level.FAIL, "publication", text, f"tidegate setup, or {command}", (command,)))
    if not publication.owned:
        command = f"ALTER PUBLICATION {quote(name)} OWNER TO {quote(role)}"
        text = (
            f"The publication {name} is not ours, so a table that loses its primary key stays in it, and its UPDATE "
            "and DELETE fail"
        )
        findings.append(Finding(Level.WARN, "publication", text, command, (command,)))
    return findings or [
        Finding(Level.OK, "publication", f"The publication {name} is ours and gives every kind of change")
    ]


def table_findings(
    name: str,
    publication: Publication | None,
    tables: Sequence[Table],
    *,
    cdc_runs: bool = False,
    mending: Mapping[int, str] | None = None,
) -> list[Finding]:
    """Judge the tables: those that are followed, those that are not, and those that are in danger.

    Args:
        name: Name of the publication.
        publication: The publication; None if there is none.
        tables: All tables of the database.
        cdc_runs: Whether a CDC service is at work, which adds what it finds.
        mending: What would make tables fit to be followed, by their OIDs; see `identities`.
    """
    plan = plan_following(tables, publication or Publication(owned=True, complete=True), {})
    published, to_come = {table.oid for table in plan.join}, {table.oid for table in plan.add}
    left_out: dict[LeftOut, list[Table]] = {reason: [] for reason in LeftOut}
    for table in tables:
        if not table.partitioned and (reason := plan.left_out.get(str(table))) is not None:
            left_out[reason].append(table)
    failing = [table for reason in _FAILING for table in left_out[reason] if table.entry is not None]
    left_out[LeftOut.GENERATED_IDENTITY] = [t for t in left_out[LeftOut.GENERATED_IDENTITY] if t.entry is None]
    partitioned = _Partitioned(tables, published, to_come)
    by_themselves = {table.oid for table in left_out[LeftOut.CHILDREN]}
    followed, new = ([table for table in found if table.oid not in by_themselves] for found in (plan.join, plan.add))
    keyless = left_out[LeftOut.NO_IDENTITY]
    owned = publication is not None and publication.owned
    return [
        *_in_danger(name, failing, owned=owned),
        *_out_of_place(name, tables, {oid for table in keyless for oid in table.ancestors}),
        *_followed([*followed, *partitioned.followed], [*new, *partitioned.to_come], cdc_runs=cdc_runs),
        *_left_out(left_out, mending or {}),
        *_without_identity([table for table in keyless if table.entry is None], mending or {}),
        *_not_ours(name, left_out[LeftOut.NOT_PUBLISHED]),
        *_partly(partitioned.partly),
        *_by_themselves(left_out[LeftOut.CHILDREN], tables, plan.left_out),
    ]


def security_findings(secured: Sequence[str]) -> list[Finding]:
    """Say which tables have row security: what they show depends on who asks."""
    if not secured:
        return []
    count = "1 table has" if len(secured) == 1 else f"{len(secured)} tables have"
    names = ", ".join(secured[:_NAMED_TABLES])
    names += f" and {len(secured) - _NAMED_TABLES} more" if len(secured) > _NAMED_TABLES else ""
    text = f"{count} row security, and answers from them are kept by role and by what the policies read: {names}"
    return [Finding(Level.OK, "tables", text, tables=tuple(secured))]


class _Partitioned:
    """The partitioned tables, which are followed when all of their partitions are."""

    def __init__(self, tables: Sequence[Table], published: set[int], to_come: set[int]) -> None:
        leaves = [table for table in tables if not table.partitioned]
        above_to_come = {oid for table in leaves if table.oid in to_come for oid in table.ancestors}
        above_left_out = {oid for table in leaves if table.oid not in published | to_come for oid in table.ancestors}
        all_of_them = [table for table in tables if table.partitioned]
        self.partly = [table for table in all_of_them if table.oid in above_left_out]
        whole = [table for table in all_of_them if table.oid not in above_left_out]
        self.to_come = [table for table in whole if table.oid in above_to_come]
        self.followed = [table for table in whole if table.oid not in above_to_come]


def _in_danger(name: str, tables: Sequence[Table], *, owned: bool) -> Iterable[Finding]:
    """H44: the application's statements fail now, for our sake."""
    if tables:
        command = taking_out(name, tables)
        text = f"UPDATE and DELETE fail on {_list(tables)}: published, without the replica identity that this asks for"
        who = "tidegate setup does it, and the CDC service where it runs" if owned else "for the publication's owner"
        remedy = f"{command} ({who}), or give it a key"
        yield Finding(Level.FAIL, "tables", text, remedy, (command,), tuple(map(str, tables)))


def _out_of_place(name: str, tables: Sequence[Table], above_keyless: set[int]) -> Iterable[Finding]:
    """Say what stands in the publication and should not; above partitions without an identity it does harm (H9)."""
    published = [table for table in tables if table.entry is not None]
    unfit = [t for t in published if t.unfit not in (None, *_FAILING) or t.partitioned]
    remedy = "tidegate setup takes them out of the publication"
    if failing := [table for table in unfit if table.oid in above_keyless]:
        text = f"UPDATE and DELETE fail on partitions without a replica identity, for {_list(failing)} is published"
        yield Finding(Level.FAIL, "tables", text, remedy, (taking_out(name, failing),), tuple(map(str, failing)))
    if others := [table for table in unfit if table.oid not in above_keyless]:
        text = f"{_count(others)} published, and should not be: {_list(others)}"
        yield _about(others, Level.WARN, text, remedy)


def _followed(followed: Sequence[Table], to_come: Sequence[Table], *, cdc_runs: bool) -> Iterable[Finding]:
    if followed:
        yield _about(followed, Level.OK, f"{_count(followed)} followed: {_list(followed)}")
    if to_come and cdc_runs:
        text = f"{_count(to_come)} new, or somebody took them out of the publication: {_list(to_come)}"
        yield _about(to_come, Level.WARN, text, "tidegate setup publishes them")
    elif to_come:
        text = f"{_count(to_come)} to be published by tidegate setup, or by the CDC service: {_list(to_come)}"
        yield _about(to_come, Level.OK, text)
    if not followed and not to_come:
        yield Finding(Level.WARN, "tables", "No table can be followed, so nothing will be cached", "see below")


def _partly(tables: Sequence[Table]) -> Iterable[Finding]:
    if tables:
        text = f"{_count(tables)} not cached ({LeftOut.PARTITIONS}): {_list(tables)}"
        yield _about(tables, Level.WARN, text, "see what is said of its partitions")


def _by_themselves(
    tables: Sequence[Table], every: Sequence[Table], left_out: Mapping[str, LeftOut]
) -> Iterable[Finding]:
    """Say which parents by INHERITS are cached without their children only, and which of these are the cause."""
    if not tables:
        return
    parts = parts_of(every)
    below = {child.oid: child for table in tables for child in parts.get(table.oid, ())}
    missing = [child for child in below.values() if left_out.get(str(child)) not in (None, LeftOut.CHILDREN)]
    causes = [_list(missing)] if missing else []
    if any(table.temporary_children for table in (*tables, *below.values())):
        causes.append("a temporary table of some session")
    text = (
        f"{_count(tables)} cached only for what reads ONLY the table itself ({_list(tables)}), because of children by "
        f"INHERITS that are not followed: {' and '.join(causes)}"
    )
    yield _about(tables, Level.WARN, text, "see what is said of those, or read ONLY the table")


def _left_out(left_out: Mapping[LeftOut, Sequence[Table]], mending: Mapping[int, str]) -> Iterable[Finding]:
    for reason, described in _REASONS.items():
        if tables := left_out[reason]:
            remedy = _REMEDIES.get(reason, "")
            level = Level.FAIL if reason is LeftOut.NARROWED else Level.WARN if remedy else Level.OK
            text = f"{_count(tables)} not cached ({described}): {_list(tables)}"
            yield _mended(_about(tables, level, text, remedy), tables, mending)


def _without_identity(tables: Sequence[Table], mending: Mapping[int, str]) -> Iterable[Finding]:
    for identity, described, remedy in _IDENTITIES:
        if found := [table for table in tables if table.identity == identity]:
            finding = _about(found, Level.WARN, f"{_count(found)} not cached ({described}): {_list(found)}", remedy)
            yield _mended(finding, found, mending)


def _not_ours(name: str, tables: Sequence[Table]) -> Iterable[Finding]:
    if tables:
        command = adding(name, tables)
        text = f"{_count(tables)} not cached (not in the publication, and only the owner can add them): {_list(tables)}"
        remedy = (
            f"have an administrator run {adding(name, tables[:_NAMED_TABLES])}, or make our role a member of the "
            "tables' owner, then new tables join by themselves"
        )
        yield Finding(Level.WARN, "tables", text, remedy, (command,), tuple(map(str, tables)))


def _mended(finding: Finding, tables: Sequence[Table], mending: Mapping[int, str]) -> Finding:
    """Add the very statements, where they are known."""
    statements = tuple(mending[table.oid] for table in tables if table.oid in mending)
    if not statements:
        return finding
    more = f" (and {len(statements) - _NAMED_STATEMENTS} more: --json)" if len(statements) > _NAMED_STATEMENTS else ""
    told = "; ".join(statements[:_NAMED_STATEMENTS])
    remedy = f"{told}{more}"
    if any(table.unfit is LeftOut.NO_IDENTITY for table in tables):
        remedy += " (FULL writes more WAL), or better give it a primary key"
    return replace(finding, remedy=remedy, statements=statements)


def _about(tables: Sequence[Table], level: Level, text: str, remedy: str = "") -> Finding:
    return Finding(level, "tables", text, remedy, tables=tuple(map(str, tables)))


def _count(tables: Sequence[Table]) -> str:
    return "1 table is" if len(tables) == 1 else f"{len(tables)} tables are"


def _list(tables: Sequence[Table]) -> str:
    names = ", ".join(map(str, tables[:_NAMED_TABLES]))
    return names if len(tables) <= _NAMED_TABLES else f"{names} and {len(tables) - _NAMED_TABLES} more"
