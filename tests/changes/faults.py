"""Does the judge see anything? Mechanisms are broken one at a time, and each must be noticed.

python -m tests.changes.faults                       every fault, each until it is noticed
python -m tests.changes.faults ignore-old-key        one
python -m tests.changes.faults --list                what there is

A fault is a patch of a running process's modules, made at the start of the process by `hooks/sitecustomize.py`, which
only this program puts in its way. The services know nothing of it.
"""

import argparse
import itertools
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

if TYPE_CHECKING:  # the patched processes have no need of these
    from tests.changes.history import History
    from tests.changes.stage import Stage

VARIABLE = "CHANGES_FAULT"
"""Names the fault, in the environment of the stack."""

_HOOKS = Path(__file__).parent / "hooks"
_ROOT = Path(__file__).parents[2]
_TABLES = "SELECT string_agg(oid::text, ' ' ORDER BY oid) FROM pg_catalog.pg_class WHERE relkind IN ('r', 'p')"
_DEFAULT_HISTORIES = 60  # until a fault counts as not noticed


@dataclass(frozen=True, slots=True)
class Fault:
    """Something broken.

    Attributes:
        what: What no longer holds.
        make: Breaks it in this process.
    """

    what: str
    make: Callable[[], None]


def _put(place: str, value: Any) -> None:
    """Replace something for as long as the process lives."""
    patch(place, value).start()


def _around(place: str, change: Callable[..., Any]) -> None:
    """Replace a function by one that gets the original as its first argument."""
    module, _, name = place.rpartition(".")
    target: Any = _resolve(module)
    original = getattr(target, name)
    setattr(target, name, lambda *arguments, **named: change(original, *arguments, **named))


def _resolve(path: str) -> Any:
    import pkgutil

    return pkgutil.resolve_name(path)


def _ignore_old_key() -> None:
    from services.cdc import rows
    from services.cdc.pgoutput.messages import Update

    write = rows._WRITERS[Update]
    rows._WRITERS[Update] = lambda writer, row: write(writer, row._replace(old=None))  # type: ignore[arg-type, call-arg]  # it is an Update


def _forget_truncate() -> None:
    from services.cdc.pgoutput.messages import Truncate

    def feed(original: Any, assembler: Any, message: Any, size: int) -> Any:
        return None if isinstance(message, Truncate) else original(assembler, message, size)

    _around("services.cdc.transactions.Assembler.feed", feed)


def _keep_rolled_back_parts() -> None:
    _put("services.cdc.transactions._Assembly.undo", lambda *_: None)


def _lose_streamed() -> None:
    def commit(original: Any, assembler: Any, message: Any) -> None:
        original(assembler, message)

    _around("services.cdc.transactions.Assembler._commit_in_progress", commit)


def _no_ancestors() -> None:
    _put("services.cdc.publisher.Publisher.tell_ancestors", lambda *_: None)


def _lose_last_part() -> None:
    def split(original: Any, *arguments: Any) -> Any:
        pieces = original(*arguments)
        return pieces[:-1] if pieces is not None and len(pieces) > 1 else pieces

    _around("services.cdc.change_events.split_rows", split)


def _lose_bulk() -> None:
    def changes(original: Any, assembly: Any) -> Any:
        return tuple(one for one in original(assembly) if one.wide != "bulk")

    _around("services.cdc.transactions._Assembly._changes", changes)


def _stale_columns() -> None:
    def describe(original: Any, assembler: Any, relation: Any) -> None:
        known = assembler._relations.get(relation.oid)
        if known is None or len(known[1].columns) != len(relation.columns):
            original(assembler, relation)

    _around("services.cdc.transactions.Assembler._describe", describe)


def _unchanged_is_null() -> None:
    def whole(original: Any, writer: Any, image: Any) -> Any:
        values, unchanged = original(writer, image)
        return values | dict.fromkeys(unchanged), []

    _around("services.cdc.rows.RowWriter._whole", whole)


def _nothing_changed() -> None:
    def change(original: Any, op: str, key: Any, _: Any, *rest: Any) -> Any:
        return original(op, key, [], *rest)

    _around("services.cdc.rows._change", change)


def _no_joining_barrier() -> None:
    _put("services.cdc.follower.Follower._is_ready", lambda *_: True)


def _evict_new_rows_only() -> None:
    def images(original: Any, row: Any, key_columns: Any) -> Any:
        return original(row, key_columns)[-1:]

    _around("services.invalidator.planner.row_images", images)


def _wide_is_nothing() -> None:
    from services.invalidator.planner import Plan

    _put("services.invalidator.evictor.plan_wide", lambda _: Plan(()))


def _lists_stay() -> None:
    from services.invalidator.planner import Plan

    def plan(original: Any, event: Any, shapes: Any) -> Plan:
        found = original(event, shapes)
        return Plan(tuple(tag for tag in found.tags if not tag.endswith(":*")), found.wide)

    _around("services.invalidator.evictor.plan_changes", plan)


def _no_catalog_poll() -> None:
    """Only which tables there are is seen: a proxy that knows no new table caches nothing that could be wrong."""

    async def stamp(original: Any, connection: Any, publication: str) -> str:
        await original(connection, publication)
        return str(await connection.fetchval(_TABLES))

    _around("services.proxy.catalog_watch.catalog_stamp", stamp)


def _definitions_raise_no_doubt() -> None:
    _put("services.proxy.catalog_watch.CatalogWatch.doubt", lambda _: None)


def _own_writes_are_not_waited_for() -> None:
    _put("services.proxy.session.own_writes.OwnWrites.covered", lambda *_: True)


FAULTS = {
    "ignore-old-key": Fault("an update of a key tells the old key", _ignore_old_key),
    "forget-truncate": Fault("TRUNCATE is told", _forget_truncate),
    "keep-rolled-back-parts": Fault(
        "what a savepoint undid in a streamed transaction is not told", _keep_rolled_back_parts
    ),
    "lose-streamed": Fault("a transaction that was sent in progress is told when it commits", _lose_streamed),
    "no-ancestors": Fault("what happens to a partition is told of the tables above it", _no_ancestors),
    "lose-last-part": Fault("a transaction that is told in parts is told whole", _lose_last_part),
    "lose-bulk": Fault("a bulk change is told", _lose_bulk),
    "stale-columns": Fault("rows are read by the columns that their table has now", _stale_columns),
    "unchanged-is-null": Fault("a long value that was not sent is not NULL", _unchanged_is_null),
    "nothing-changed": Fault("an update says which columns changed", _nothing_changed),
    "no-joining-barrier": Fault("a table is followed once its open writers have ended", _no_joining_barrier),
    "evict-new-rows-only": Fault("an update evicts what shows the old row", _evict_new_rows_only),
    "wide-is-nothing": Fault("a change of a whole table evicts", _wide_is_nothing),
    "lists-stay": Fault("a row change evicts lists and counts", _lists_stay),
    "no-catalog-poll": Fault(
        "the proxy sees what was defined elsewhere, not only which tables there are", _no_catalog_poll
    ),
    "definitions-raise-no-doubt": Fault(
        "what event triggers tell is known as soon as rows are", _definitions_raise_no_doubt
    ),
    "own-writes-are-not-waited-for": Fault("a session sees what it wrote at once", _own_writes_are_not_waited_for),
}
"""Every fault, by name."""


def main() -> int:
    """Try faults; return 0 when each was noticed."""
    arguments = _arguments()
    if arguments.list:
        _say("\n".join(f"{name:32}{fault.what}" for name, fault in FAULTS.items()))
        return 0
    from tests.changes.stage import staged

    with staged(arguments.version) as sound:
        missed = [name for name in arguments.faults or FAULTS if not _noticed(name, arguments, sound)]
    _say(f"not noticed: {', '.join(missed) or 'none'}")
    return 1 if missed else 0


def _noticed(name: str, arguments: argparse.Namespace, sound: "Stage") -> bool:
    """Play what is kept, then made histories, until one shows a violation, which must not show without the fault."""
    from tests.changes.grammar import make_history
    from tests.changes.notation import read_history
    from tests.changes.running import CORPUS
    from tests.changes.stage import staged

    kept = [read_history(path.read_text(encoding="utf-8")) for path in sorted(CORPUS.glob("*.sql"))]
    made = (make_history(f"{arguments.seed}/{number}", int(arguments.version)) for number in itertools.count())

    environ = {VARIABLE: name, "PYTHONPATH": f"{_HOOKS}:{_ROOT}"}
    with staged(arguments.version, environ) as stage:
        for number, history in enumerate(
            itertools.chain(kept, itertools.islice(made, arguments.histories)), -len(kept)
        ):
            violations = _violations(stage, history)
            if violations and not _violations(sound, history):
                _say(f"{name}: noticed in {history.why or number}: {violations[0]}")
                return True
            if violations:
                _say(f"{name}: {history.why or number} shows a violation without it too: {violations[0]}")
    _say(f"{name}: NOT noticed in {arguments.histories} histories")
    return False


def _violations(stage: "Stage", history: "History") -> list[str]:
    from tests.changes.playing import play
    from tests.servers.processes import ServerError

    try:
        return play(stage, history).violations
    except ServerError as error:  # what was waited for never came
        return [str(error)]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.changes.faults")
    parser.add_argument("faults", nargs="*", choices=[[], *FAULTS], help="which (default: all)")
    parser.add_argument("--list", action="store_true", help="say what there is")
    parser.add_argument("--version", default="18", help="of Postgres (default 18)")
    parser.add_argument("--seed", default="faults", help="of which histories are made")
    parser.add_argument("--histories", type=int, default=_DEFAULT_HISTORIES, help="after so many a fault is missed")
    return parser.parse_args()


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
