"""Which relations does a statement read? Found twice, by two readers that know nothing of each other; they must agree.

`parsed_relations` walks sqlglot's tree, `scanned_relations` the tokens of our own lexer. A statement that the two read
differently, be it in whether ONLY a table is read or its children too, is not understood, and not cached. Pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from sqlglot import exp

from services.proxy.sql.tokens import Token, TokenKind, at

_FUNCTIONS_WITH_FROM = ("extract", "substring", "trim", "overlay", "position")
_ENDS_FROM = frozenset(
    """
    where group having order limit offset fetch union intersect except window for select values with
    """.split()
)


class NameInFrom(NamedTuple):
    """A name in FROM, its schema ("" when it is not named), and whether ONLY stands before it."""

    schema: str
    name: str
    only: bool


@dataclass(frozen=True, slots=True)
class Occurrence:
    """A relation's name in FROM, by which name columns refer to it, and what is said with it."""

    schema: str
    name: str
    alias: str
    renames_columns: bool
    only: bool
    node: exp.Table = field(compare=False, repr=False)


@dataclass(slots=True)
class _Frame:
    """One level of parentheses, while tokens are read."""

    in_from: bool = False
    expects: bool = False
    has_function_from: bool = False
    only: bool = False


@dataclass(slots=True)
class _Scan:
    found: list[NameInFrom] = field(default_factory=list)
    frames: list[_Frame] = field(default_factory=lambda: [_Frame()])


def parsed_relations(tree: exp.Expr) -> tuple[list[Occurrence], list[NameInFrom]]:
    """Return the occurrences of relations, and all names in FROM, those of CTEs included, in order."""
    occurrences: list[Occurrence] = []
    names: list[NameInFrom] = []
    for table in tree.find_all(exp.Table):
        if call_in_from(table) is not None:
            continue
        only = bool(table.args.get("only"))
        names.append(NameInFrom(table.db, table.name, only))
        if not table.db and _is_cte(table):
            continue
        alias = table.args.get("alias")
        renames = bool(alias is not None and alias.args.get("columns"))
        occurrences.append(Occurrence(table.db, table.name, table.alias_or_name, renames, only, table))
    return occurrences, sorted(names)


def call_in_from(item: exp.Expr | None) -> exp.Expr | None:
    """Return the function that an item of FROM is the call of; None where it is none."""
    if isinstance(item, exp.Unnest):
        return item
    if isinstance(item, exp.Table | exp.Lateral) and isinstance(item.this, exp.Func | exp.Unnest):
        return item.this
    return None


def _is_cte(table: exp.Table) -> bool:
    """Whether the name is that of a CTE which is visible there."""
    child: exp.Expr = table
    while (parent := child.parent) is not None:
        with_ = parent.args.get("with_")
        if with_ is not None and child is not with_ and _has_cte(with_.expressions, table.name):
            return True
        if isinstance(parent, exp.With):
            before = parent.expressions if parent.args.get("recursive") else _before(parent.expressions, child)
            if _has_cte(before, table.name):
                return True
        child = parent
    return False


def _has_cte(ctes: Sequence[exp.Expr], name: str) -> bool:
    return any(cte.alias == name for cte in ctes)


def _before(ctes: Sequence[exp.Expr], cte: exp.Expr) -> list[exp.Expr]:
    earlier: list[exp.Expr] = []
    for candidate in ctes:
        if candidate is cte:
            break
        earlier.append(candidate)
    return earlier


def scanned_relations(tokens: Sequence[Token]) -> list[NameInFrom]:
    """Return each name in FROM or JOIN, as the tokens alone show them, in order."""
    scan = _Scan()
    index = 0
    while index < len(tokens):
        index = _step(tokens, index, scan)
    return sorted(scan.found)


def _step(tokens: Sequence[Token], index: int, scan: _Scan) -> int:
    """Read the token at `index`, and return the index of the next one to read."""
    token, frame = tokens[index], scan.frames[-1]
    if token.is_mark("("):
        function_from = at(tokens, index - 1).is_word(*_FUNCTIONS_WITH_FROM)
        nested = frame.expects
        frame.expects = frame.only = False
        scan.frames.append(_Frame(nested, nested, function_from))
    elif token.is_mark(")"):
        if len(scan.frames) > 1:
            scan.frames.pop()
    elif token.is_mark(","):
        frame.expects = frame.in_from
    elif token.kind is TokenKind.WORD and _keyword(tokens, index, frame):
        return index + 1
    elif frame.expects and token.is_name:
        only, frame.only, frame.expects = frame.only, False, False
        return _read_name(tokens, index, scan.found, only=only)
    return index + 1


def _keyword(tokens: Sequence[Token], index: int, frame: _Frame) -> bool:
    """Take note of a word that begins or ends a list of relations; False when the word is none."""
    word = tokens[index].text
    if at(tokens, index - 1).is_mark("."):
        return False
    if word == "from":
        if not frame.has_function_from and not _distinct_from(tokens, index):
            frame.in_from = frame.expects = True
        return True
    if word == "join":
        frame.in_from = frame.expects = True
        return True
    if word in ("only", "lateral") and frame.expects:
        frame.only = word == "only"
        return True
    if word in _ENDS_FROM:
        frame.in_from = frame.expects = False
        return True
    return False


def _distinct_from(tokens: Sequence[Token], index: int) -> bool:
    return at(tokens, index - 1).is_word("distinct") and at(tokens, index - 2).is_word("is", "not")


def _read_name(tokens: Sequence[Token], index: int, found: list[NameInFrom], *, only: bool) -> int:
    parts = [tokens[index].text]
    index += 1
    while at(tokens, index).is_mark(".") and at(tokens, index + 1).is_name:
        parts.append(tokens[index + 1].text)
        index += 2
    if at(tokens, index).is_mark("("):  # a function
        return index
    found.append(NameInFrom(".".join(parts[:-1]), parts[-1], only))
    return index
