"""Which equalities of a statement name the rows that its answer rests on? Pure.

For a SELECT over exactly one table, whose WHERE holds each column of the primary key equal to a value (as conjuncts
at its top), only rows with that key can change the answer: the tag is the key. The columns must be reported with
updates and deletes (replica identity), have one canonical form per value, and be stored. Everything else depends on
whole relations.

The conjuncts are read from the tokens, where precedence cannot be mistaken: AND binds weaker than everything but OR.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlglot import exp

from services.proxy.sql.builtin_types import TAG_FAMILIES, TAG_TYPE_OIDS, TEXT_FAMILY
from services.proxy.sql.casts import type_at
from services.proxy.sql.snapshot import Column, Relation
from services.proxy.sql.statement import Statement
from services.proxy.sql.tokens import Token, TokenKind, closing
from services.shared.relation import Shape, ShapeColumn

_ENDS_WHERE = ("group", "having", "window", "order", "limit", "offset", "fetch", "for", "union", "intersect", "except")
_UNREAD_IN_WHERE = ("or", "between", "case")  # their own AND, or weaker than AND
_STRING_KINDS = ("str", "estr", "dstr")
_UNDECLARED = 0
_UNKNOWN_TYPE = 705


@dataclass(frozen=True, slots=True)
class LiteralSource:
    """The value is the literal of that number (`Lexed.literals`)."""

    index: int


@dataclass(frozen=True, slots=True)
class ParameterSource:
    """The value is the parameter of that number, counted from 0.

    Attributes:
        types: Types that the client may have declared for it, 0 for none: then the value is compared as one of the
            column's type. With any other declared type the tag must be widened to the relation.
    """

    index: int
    types: tuple[int, ...]


ValueSource = LiteralSource | ParameterSource


@dataclass(frozen=True, slots=True)
class TagRule:
    """How one occurrence of a relation is tagged; a shape without columns has no sources: the whole relation."""

    shape: Shape
    sources: tuple[ValueSource, ...]


def tag_rules(statement: Statement) -> tuple[TagRule, ...]:
    """Return one rule per occurrence of a relation in a statement that may be cached."""
    relations = [relation for relation in statement.relations if relation is not None]
    if len(relations) == 1 and _is_one_block(statement):
        rule = _key_rule(statement, relations[0])
        if rule is not None:
            return (rule,)
    return tuple(TagRule(Shape(relation.oid), ()) for relation in relations)


def _is_one_block(statement: Statement) -> bool:
    tree = statement.tree
    if not isinstance(tree, exp.Select) or len(statement.names) != 1 or statement.occurrences[0].renames_columns:
        return False
    return not any(isinstance(node, (exp.With, exp.Subquery, exp.Query)) for node in tree.walk() if node is not tree)


def _key_rule(statement: Statement, relation: Relation) -> TagRule | None:
    values = dict(_equalities(statement.tokens))
    columns: list[ShapeColumn] = []
    sources: list[ValueSource] = []
    for name in relation.primary_key:
        column = relation.column(name)
        if column is None or name not in relation.identity_columns or not _has_canonical_form(column):
            return None
        source = _source(column, values.get(name, ()))
        if source is None:
            return None
        columns.append(ShapeColumn(name, column.type_oid))
        sources.append(source)
    return TagRule(Shape(relation.oid, tuple(columns)), tuple(sources)) if columns else None


def _has_canonical_form(column: Column) -> bool:
    if column.generated or column.type_oid not in TAG_FAMILIES:
        return False
    return column.deterministic or column.type_oid not in TEXT_FAMILY


def _source(column: Column, value: Sequence[Token]) -> ValueSource | None:
    """Return where a value comes from, if it is compared as one of the column's type family."""
    if not value:
        return None
    family, first = TAG_FAMILIES[column.type_oid], value[0]
    if len(value) > 1:
        cast_to, after = type_at(value, 2)
        if after != len(value) or TAG_TYPE_OIDS.get(cast_to) not in family or _has_length(value):
            return None
    if first.kind is TokenKind.PARAMETER:
        return ParameterSource(first.number - 1, (_UNDECLARED, _UNKNOWN_TYPE, *family))
    if len(value) > 1:
        return None
    readable = first.text in _STRING_KINDS or (first.text == "int" and column.type_oid not in TEXT_FAMILY)
    return LiteralSource(first.number) if readable else None


def _has_length(value: Sequence[Token]) -> bool:
    """Whether the type has a length, which cuts the value, or is an array."""
    return any(token.is_mark("(") or token.is_mark("[") for token in value)


def _equalities(tokens: Sequence[Token]) -> Iterator[tuple[str, Sequence[Token]]]:
    """Give column and value of each equality that is a conjunct at the top of WHERE."""
    start = _top_level(tokens, 0, ("where",))
    if start < len(tokens):
        yield from _conjuncts(tokens[start + 1 : _top_level(tokens, start + 1, _ENDS_WHERE)])


def _top_level(tokens: Sequence[Token], start: int, words: tuple[str, ...]) -> int:
    """Return the index of the first of these words outside of parentheses; the length when there is none."""
    index = start
    while index < len(tokens):
        if tokens[index].is_mark("("):
            index = closing(tokens, index)
        elif tokens[index].is_word(*words) and not (index and tokens[index - 1].is_mark(".")):
            return index
        index += 1
    return len(tokens)


def _conjuncts(tokens: Sequence[Token]) -> Iterator[tuple[str, Sequence[Token]]]:
    if _top_level(tokens, 0, _UNREAD_IN_WHERE) < len(tokens):
        return
    start = 0
    while start < len(tokens):
        end = _top_level(tokens, start, ("and",))
        part = tokens[start:end]
        if part and part[0].is_mark("(") and closing(part, 0) == len(part) - 1:
            yield from _conjuncts(part[1:-1])
        else:
            yield from _equality(part)
        start = end + 1


def _equality(part: Sequence[Token]) -> Iterator[tuple[str, Sequence[Token]]]:
    """Give column and value if this is `column = value` or `value = column`."""
    signs = [index for index, token in enumerate(part) if token.kind is TokenKind.OPERATOR]
    if len(signs) != 1 or part[signs[0]].text != "=":
        return
    left, right = part[: signs[0]], part[signs[0] + 1 :]
    for name, value in ((left, right), (right, left)):
        if _is_column_name(name) and _is_value(value):
            yield name[-1].text, value


def _is_column_name(tokens: Sequence[Token]) -> bool:
    names, dots = tokens[::2], tokens[1::2]
    return len(names) == len(dots) + 1 and all(t.is_name for t in names) and all(t.is_mark(".") for t in dots)


def _is_value(tokens: Sequence[Token]) -> bool:
    """Whether it is a literal or parameter, possibly with a cast behind it."""
    if not tokens or tokens[0].kind not in (TokenKind.LITERAL, TokenKind.PARAMETER):
        return False
    return len(tokens) == 1 or tokens[1].is_mark("::")
