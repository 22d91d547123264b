"""Is an answer a page of an order? Then rows behind its last one are none of its concern. Pure.

Of a statement that orders the rows of one relation by one of its columns and gives the first n, or n behind some that
it skips, a full page has a last row, and its place in the order is shown. A change alters the page only if the row was
there, or is now, up to that place. So the page's answer rests on the rows in a range of that column, whose one end the
answer itself tells.

NULL is in no range. That is right where NULLs come last, and where the column has none.
"""

from dataclasses import dataclass

from sqlglot import exp

from services.proxy.sql.claims import ValueRef, name_of
from services.proxy.sql.row_limits import row_limits
from services.proxy.sql.shown_keys import Outputs
from services.proxy.sql.snapshot import Relation
from services.proxy.sql.statement import Statement
from services.proxy.sql.tag_families import order_of
from services.proxy.sql.tokens import Token, TokenKind
from services.shared.relation import ShapeColumn

_CHANGES_ROWS = frozenset(("group", "distinct", "having", "fetch"))
_DIRECTIONS = {  # whether great values come first, and whether NULLs do
    **dict.fromkeys(("", "asc", "nulls last", "asc nulls last"), (False, False)),
    **dict.fromkeys(("nulls first", "asc nulls first"), (False, True)),
    **dict.fromkeys(("desc", "desc nulls first"), (True, True)),
    "desc nulls last": (True, False),
}


@dataclass(frozen=True, slots=True)
class Page:
    """How a statement pages.

    Attributes:
        column: By which column.
        place: Which column of the result shows it.
        width: How many columns a row has.
        is_descending: Whether great values come first.
        limit: Where the number of rows comes from.
    """

    column: ShapeColumn
    place: int
    width: int
    is_descending: bool
    limit: ValueRef


def page_of(statement: Statement, occurrence: int, outputs: Outputs) -> Page | None:
    """Return how a statement pages through the rows of an occurrence; None if it does not.

    Args:
        statement: The statement.
        occurrence: The occurrence.
        outputs: What the result shows.
    """
    select, relation = statement.tree, statement.relations[occurrence]
    if not isinstance(select, exp.Select) or relation is None or not outputs.is_alone(occurrence):
        return None
    if not _CHANGES_ROWS.isdisjoint(statement.words) or select.args.get("joins"):
        return None
    limits, order = row_limits(statement), select.args.get("order")
    if limits is None or limits.limit is None or not isinstance(order, exp.Order):
        return None
    ordered = order.expressions[0]
    name = name_of(ordered.this)
    place = outputs.place(occurrence, name[-1]) if name else None
    if place is None or not _tokens_agree(statement, name, ordered):
        return None
    if len(name) == 1 and outputs.renames(name[0], place):
        return None
    column = _ordered_column(relation, name[-1], nulls_first=bool(ordered.args.get("nulls_first")))
    return None if column is None else Page(column, place, outputs.width, bool(ordered.args.get("desc")), limits.limit)


def _ordered_column(relation: Relation, name: str, *, nulls_first: bool) -> ShapeColumn | None:
    column = relation.column(name)
    if column is None or order_of(column) is None or (nulls_first and not column.not_null):
        return None
    return ShapeColumn(column.name, column.type_oid)


def _tokens_agree(statement: Statement, name: tuple[str, ...], ordered: exp.Ordered) -> bool:
    """Whether the tokens show the same order, and no other one."""
    tokens = statement.tokens
    orders = [index for index, token in enumerate(tokens) if token.is_word("order")]
    if len(orders) != 1:
        return False
    start, end = orders[0] + 2, orders[0] + 2 + 2 * len(name) - 1
    if tuple(token.text for token in tokens[start:end:2]) != name:
        return False
    written = _DIRECTIONS.get(" ".join(_words_of_key(tokens, end)))
    return written == (bool(ordered.args.get("desc")), bool(ordered.args.get("nulls_first")))


def _words_of_key(tokens: tuple[Token, ...], start: int) -> list[str]:
    words: list[str] = []
    index = start
    while index < len(tokens) and not tokens[index].is_mark(",") and not tokens[index].is_word("limit", "offset"):
        words.append(tokens[index].text if tokens[index].kind is TokenKind.WORD else "?")
        index += 1
    return words
