"""Which rows an UPDATE or DELETE writes, where its WHERE names them by values. Pure.

The rows that it finds are those that a query with the same WHERE would rest on, so the rules of such a query name them:
before the write by what WHERE says, and behind it too, as long as nothing is assigned to the columns by which they are
named. (That nothing else is written, by triggers, rules, cascades or in parts, is `effect.py`'s to say.)
"""

from collections.abc import Sequence
from dataclasses import dataclass

from services.proxy.sql.rules import judged
from services.proxy.sql.snapshot import Relation
from services.proxy.sql.statement import Statement, read_statement
from services.proxy.sql.tag_rules import TagRule, tag_rules
from services.proxy.sql.template import Lexed
from services.proxy.sql.tokens import Token, TokenKind, at, depths

_CLAUSES = ("set", "from", "using", "where", "returning")


@dataclass(frozen=True, slots=True)
class WrittenRows:
    """How the rows are named that a statement writes.

    Attributes:
        rule: The rule of the query that would find them.
        first_literal: Which of the statement's literals is the first one of that query.
    """

    rule: TagRule
    first_literal: int


def written_rows(statement: Statement, target: Relation) -> WrittenRows | None:
    """Return how a plain UPDATE or DELETE names its rows; None where it does not, or not for certain."""
    if target.kind != "r" or target.parts or target.ancestors:
        return None
    clauses = _clauses(statement.tokens)
    if clauses is None or clauses.keys() - {"", "set", "where", "returning"} or not clauses.get("where"):
        return None
    assigned = _assigned(clauses["set"]) if "set" in clauses else frozenset()
    where, others = clauses["where"], [token for name in ("set", "returning") for token in clauses.get(name, ())]
    if assigned is None or _parameters(where) & _parameters(others):
        return None  # a parameter is of the type that its first use makes it
    rule = _rule(statement, [*clauses[""], *where])
    if rule is None or assigned & {column.name for column in rule.shape.columns}:
        return None
    literals = [token.number for token in where if token.kind is TokenKind.LITERAL]
    return WrittenRows(rule, min(literals, default=0))


def _clauses(tokens: Sequence[Token]) -> dict[str, list[Token]] | None:
    """Cut `UPDATE … SET … WHERE … RETURNING …` up; "" is what names the table. None where a clause comes twice.

    What is found twice may be a word of another meaning, such as the FROM of IS DISTINCT FROM.
    """
    start = 2 if at(tokens, 1).is_word("from") else 1
    found: dict[str, list[Token]] = {"": []}
    clause = ""
    for token, depth in zip(tokens[start:], depths(tokens)[start:], strict=True):
        if depth == 0 and token.is_word(*_CLAUSES):
            clause = token.text
            if clause in found:
                return None
            found[clause] = []
        found[clause].append(token)
    return found


def _assigned(clause: Sequence[Token]) -> frozenset[str] | None:
    """Return the columns that SET assigns to; None where one cannot be told."""
    names = []
    begins = True
    for index, (token, depth) in enumerate(zip(clause, depths(clause), strict=True)):
        if index == 0:
            continue  # the word itself
        if begins:
            if not token.is_name or at(clause, index + 1).text != "=":
                return None  # (a, b) = …, a field or an element of a column
            names.append(token.text)
        begins = depth == 0 and token.is_mark(",")
    return frozenset(names)


def _rule(statement: Statement, rest: Sequence[Token]) -> TagRule | None:
    """Return the rule of the query with this table and this WHERE; None where it could not be cached."""
    template = " ".join(("select * from", *map(_text, rest)))
    literals = [token.number for token in rest if token.kind is TokenKind.LITERAL]
    query = Lexed(template, tuple(statement.lexed.literals[number] for number in literals), 1, "SELECT")
    reading = read_statement(query, statement.catalog, statement.name_space)
    if judged(reading)[0] is not None:
        return None
    rules = tag_rules(reading)
    return rules[0] if len(rules) == 1 and rules[0].shape.columns else None


def _parameters(tokens: Sequence[Token]) -> set[int]:
    return {token.number for token in tokens if token.kind is TokenKind.PARAMETER}


def _text(token: Token) -> str:
    if token.kind is TokenKind.QUOTED:
        return '"' + token.text.replace('"', '""') + '"'
    return "{" + token.text + "}" if token.kind is TokenKind.LITERAL else token.text
