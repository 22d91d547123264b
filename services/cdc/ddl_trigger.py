"""Event triggers that tell of DDL in the change stream, where our role may make one.

The catalog is looked at once a second in any case: event triggers are not asked about roles, memberships and
settings, and can be switched off (H28, H29). But they tell at once, and within the transaction that runs the DDL:

* A message in that transaction says that the catalog changes. It comes out of the stream with the commit, so DDL takes
  effect in every proxy ahead of the watermark that covers it, as row changes do.
* A table that loses its replica identity leaves the publication in the same transaction. Else its UPDATE and DELETE
  would fail in the application until the next look (H44).

They serve all caches of the database and never let a statement fail: whatever goes wrong in them is logged. What
happens to temporary tables alone is nobody else's business.
"""

from dataclasses import dataclass
from pathlib import Path

from services.cdc.control import ControlConnection
from services.cdc.errors import StatementError

ENDS, DROPS = "tidegate_ddl", "tidegate_drop"
"""Names of the two event triggers: one at the end of each command, one that sees what is dropped."""

CREATING = (Path(__file__).parent / "ddl_trigger.sql").read_text(encoding="utf-8")
"""Makes them, or makes them anew. `ENABLE ALWAYS`: with `session_replication_role = replica` they would not fire."""

DROPPING = (
    f"DROP EVENT TRIGGER IF EXISTS {ENDS}; DROP EVENT TRIGGER IF EXISTS {DROPS}; "
    "DROP FUNCTION IF EXISTS tidegate.note_ddl()"
)

_STATE = """
    SELECT t.count > 0,
           t.working = 2 AND p.prosrc = $1,
           coalesce(t.owned, true),
           r.rolsuper OR EXISTS (
               SELECT FROM pg_roles m
               WHERE m.rolname IN ('rds_superuser', 'cloudsqlsuperuser', 'azure_pg_admin')
                 AND pg_has_role(m.oid, 'USAGE')
           )
    FROM pg_roles r
    LEFT JOIN pg_proc p ON p.pronamespace = to_regnamespace('tidegate') AND p.proname = 'note_ddl'
    CROSS JOIN LATERAL (
        SELECT count(*), bool_and(pg_has_role(evtowner, 'USAGE')) AS owned,
               count(*) FILTER (
                   WHERE evtenabled = 'A' AND evtfoid = p.oid
                     AND evtevent = CASE evtname WHEN $2 THEN 'ddl_command_end' ELSE 'sql_drop' END
               ) AS working
        FROM pg_event_trigger WHERE evtname IN ($2, $3)
    ) t
    WHERE r.rolname = current_user
"""


@dataclass(frozen=True, slots=True)
class DdlTrigger:
    """How the event triggers stand: one for the end of every command and one for what is dropped.

    Attributes:
        known: Whether there is one of their names.
        works: Whether they are these, and switched on.
        owned: Whether our role may change them, if they are there.
        allowed: Whether our role may make event triggers: a superuser may, or what managed services have instead.
    """

    known: bool
    works: bool
    owned: bool
    allowed: bool


async def find_ddl_trigger(control: ControlConnection) -> DdlTrigger:
    """Look how the event triggers stand."""
    (row,) = await control.fetch(_STATE, CREATING.split("$note_ddl$")[1], ENDS, DROPS)
    return DdlTrigger(*map(bool, row))


async def prepare_ddl_trigger(control: ControlConnection, *, wanted: bool) -> str:
    """Make the event triggers, or take them away, as far as our role may; other caches of the database share them.

    Args:
        control: The connection.
        wanted: Whether the settings ask for them.

    Returns:
        What Postgres had against it; empty where it did not.
    """
    found = await find_ddl_trigger(control)
    statements = ""
    if wanted and not found.works and found.owned and found.allowed:
        statements = CREATING
    elif not wanted and found.known and found.owned:
        statements = DROPPING
    try:
        if statements:
            await control.execute(statements)
    except StatementError as error:
        return str(error)
    return ""


async def remove_ddl_trigger(control: ControlConnection) -> None:
    """Take the event triggers away if they are there."""
    if (await find_ddl_trigger(control)).known:
        await control.execute(DROPPING)
