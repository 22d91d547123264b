"""COPY, DECLARE and EXPLAIN: the query or the table that they are about. Pure."""

import re
from dataclasses import dataclass

from services.proxy.sql.template import Lexed

_NAME = r'(?:"(?:[^"]|"")*+"|[^\W\d][\w$]*+)'
_DECLARE = re.compile(
    rf"declare {_NAME} (?:(?:binary|insensitive|asensitive|no scroll|scroll) )*+cursor (?:with(?:out)? hold )?for (.+)",
    re.DOTALL,
)
_EXPLAIN = re.compile(r"explain ?(?:\([\w ,]*+\) ?|(?:analyze |verbose )*+)(.+)", re.DOTALL)
_OPTIONS = r"(?: ?with)? ?(?:\((?:[^()]|\([^()]*+\))*+\))?"
_COPY_QUERY = re.compile(rf"copy ?\((.+)\) ?to stdout{_OPTIONS}", re.DOTALL)
_COPY_TABLE = re.compile(
    rf"copy (?:({_NAME}) ?\. ?)?({_NAME}) ?(?:\([^()]*+\) ?)?(to stdout|from stdin){_OPTIONS}", re.DOTALL
)
_PLACEHOLDER_OR_QUOTED = re.compile(r'"(?:[^"]|"")*+"|(\{[a-z]+\})')
_KEYWORD = re.compile(r"[( ]*([a-z_]+)")


@dataclass(frozen=True, slots=True)
class CopiedTable:
    """A table that is copied over the connection.

    Attributes:
        schema: As written, folded or unquoted; empty when there is none.
        name: The same.
        into: Rows come in; else they go out.
    """

    schema: str
    name: str
    into: bool


def inner_statement(lexed: Lexed) -> Lexed | None:
    """Return the statement that a DECLARE, an EXPLAIN or a COPY TO STDOUT carries; None when it is of no plain form."""
    pattern = {"DECLARE": _DECLARE, "EXPLAIN": _EXPLAIN, "COPY": _COPY_QUERY}.get(lexed.keyword)
    found = pattern.fullmatch(lexed.template) if pattern is not None and lexed.statement_count == 1 else None
    if found is None:
        return None
    template = found[1].strip()
    keyword = _KEYWORD.match(template)
    literals = lexed.literals[: _placeholders(template)]  # none stands in front of it
    return Lexed(template, literals, 1, keyword[1].upper() if keyword is not None else "")


def copied_table(lexed: Lexed) -> CopiedTable | None:
    """Return the table that a COPY with the client is about; None when it is of no plain form."""
    found = _COPY_TABLE.fullmatch(lexed.template) if lexed.statement_count == 1 else None
    if found is None:
        return None
    schema, name = (_identifier(text or "") for text in (found[1], found[2]))
    return CopiedTable(schema, name, into=found[3] == "from stdin")


def _placeholders(template: str) -> int:
    return sum(found[1] is not None for found in _PLACEHOLDER_OR_QUOTED.finditer(template))


def _identifier(text: str) -> str:
    return text[1:-1].replace('""', '"') if text.startswith('"') else text
