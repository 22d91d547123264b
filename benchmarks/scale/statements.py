"""How cost grows with the templates that an application sends, and with the shapes that a row change is matched with.

The real classes, in this process: what a worker does for a text that it knows, for a known template with another
literal, and for a template that it has never seen; and what the invalidator does for a changed row.
"""

import os
from collections.abc import Sequence

from benchmarks.process_memory import resident_bytes
from benchmarks.scale.clock import MICROSECONDS, each_in_a_process, seconds_of
from benchmarks.scale.curve import Curve, gathered
from schemas.fields import Row
from services.invalidator.planner import plan_changes
from services.proxy.session.templates import Templates
from services.proxy.sql.verdict import NameSpace
from services.shared.relation import Shape, ShapeColumn
from tests.unit.invalidator.event_samples import ORDERS, changes, update
from tests.unit.sql.small_catalog import column, small_catalog, table

_PUBLIC = NameSpace(("pg_catalog", "public"))
_TABLE_OID = 30_000
_COLUMNS = 100
_MOST_ASKED = 5_000
_INT4 = 23


def templates_curve(sizes: Sequence[int]) -> Curve:
    """Measure the proxy's knowledge of statements."""
    return Curve(
        "templates",
        "Templates",
        "Reads of a table of a hundred columns that differ in what they select and by what. A worker keeps the "
        "analyses of 5,000 templates, and of texts what fits into 64 MiB. Processor time.",
        "templates",
        sizes,
        gathered(each_in_a_process(_measure_templates, sizes)),
        (
            "*Asked in turn* is the worst order for what forgets the least lately used: beyond 5,000 templates each is "
            "analysed anew whenever its literal is another.",
        ),
    )


def shapes_curve(sizes: Sequence[int]) -> Curve:
    """Measure the invalidator."""
    return Curve(
        "shapes",
        "Shapes that a row change is matched with",
        "What the invalidator plans for one updated row, by the shapes that are registered for its table: the columns "
        "that cached reads hold equal to a value. A relation may have 64 of them; more are tagged more widely.",
        "shapes",
        sizes,
        gathered([_measure_shapes(size) for size in sizes]),
    )


def _text(template: int, literal: int) -> bytes:
    """Return a statement of a template: two columns tell it apart, a third holds the literal."""
    shown, held = template % _COLUMNS, template // _COLUMNS
    return f"SELECT id, c{shown} FROM wide WHERE c{held} = {literal} AND id > 0".encode()


def _measure_templates(size: int) -> dict[str, float]:
    columns = [column("id", "int4", not_null=True), *(column(f"c{number}", "int4") for number in range(_COLUMNS))]
    templates = Templates()
    templates.use(small_catalog(table(_TABLE_OID, "wide", *columns)))
    templates.find(_text(0, 0), _PUBLIC)  # what is only paid once: sqlglot is loaded
    before = resident_bytes(os.getpid())
    first = seconds_of(lambda: [templates.find(_text(number, 1), _PUBLIC) for number in range(size)])
    grown = resident_bytes(os.getpid()) - before
    asked = [_text(number, 1) for number in range(min(size, _MOST_ASKED))]
    known = seconds_of(lambda: [templates.find(text, _PUBLIC) for text in asked]) / len(asked)
    others = [_text(number, 2) for number in range(size)]
    in_turn = seconds_of(lambda: [templates.find(text, _PUBLIC) for text in others]) / size
    same = [_text(size - 1, literal) for literal in range(10, 1_010)]
    again = seconds_of(lambda: [templates.find(text, _PUBLIC) for text in same]) / len(same)
    return {
        "known text, µs": known * MICROSECONDS,
        "known template, another literal, µs": again * MICROSECONDS,
        "all templates in turn, another literal each, µs": in_turn * MICROSECONDS,
        "template never seen, µs": first / size * MICROSECONDS,
        "KiB each, resident": grown / size / 1024,
    }


def _measure_shapes(size: int) -> dict[str, float]:
    shapes = [Shape(ORDERS, (ShapeColumn(f"c{number}", _INT4),)) for number in range(size)]
    before: Row = {"id": "1", **{f"c{number}": str(number) for number in range(size)}}
    event = changes(update({**before, "c0": "7"}, before))
    times = max(3, 3_000 // size)
    spent = seconds_of(lambda: [plan_changes(event, shapes) for _ in range(times)]) / times
    return {"plan one update, µs": spent * MICROSECONDS, "tags": float(len(plan_changes(event, shapes).tags))}
