"""Where statements come from: the reads in psql scripts, and files with one statement after the other. Pure.

A read is taken wherever it stands as a whole: by itself, behind EXPLAIN, as the definition of a view, a cursor, a
prepared statement or a table. What psql would have put in (`:variable`) is not there; Postgres refuses such a text.
"""

import re
from collections.abc import Iterable, Iterator

from tests.conformance.psql_script import statements

_COMMENTS = re.compile(r"(?:\s+|--[^\n]*(?:\n|\Z)|/\*.*?\*/)+", re.DOTALL)
_AROUND = re.compile(
    r"""(?: explain \s+ (?: \( [^()]* \) | (?:(?:analyze|verbose) \s+)* )
        | create \s+ (?:or \s+ replace \s+)? (?:(?:temp|temporary|recursive|materialized|unlogged|global|local) \s+)*
          (?:view|table) \s [^;]*? \s as
        | declare \s [^;]*? \s for
        | prepare \s [^;]*? \s as
    ) \s* (?= [(] | (?:select|with|values|table) \b )""",
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)
_READ = re.compile(r"(?:\(\s*)*(?:select|with|values|table)\b", re.IGNORECASE)

_SENT = re.compile(r"\\(?:g|crosstabview)")  # psql's ways to end a statement without a semicolon
_DROP = re.compile(r"drop\s+(?:table|view|materialized|sequence|index)\b", re.IGNORECASE)
_TEMPORARY = re.compile(r"(create\s+)(?:local\s+|global\s+)?temp(?:orary)?\s+(?=table\b|view\b)", re.IGNORECASE)


def reads_in_script(script: str) -> Iterator[str]:
    """Give the reads of a psql script, without what stands in front of them and the semicolon."""
    for statement, _ in statements(script):
        body = _SENT.split(_without_comments(statement), maxsplit=1)[0].removesuffix(";").strip()
        around = _AROUND.match(body)
        body = body[around.end() :] if around else body
        if _READ.match(body):
            yield body


def keep_tables(script: str) -> str:
    """Return a psql script that drops no tables and views, and makes permanent tables for temporary ones."""
    kept: list[str] = []
    for statement, _ in statements(script):
        body = _without_comments(statement)
        before = statement.removesuffix(body)
        if not _DROP.match(body):
            kept.append(before + _TEMPORARY.sub(r"\1", body, count=1) if _TEMPORARY.match(body) else statement)
    return "".join(kept)


def reads_in_file(text: str) -> Iterator[str]:
    """Give the statements of a file in which each begins at the start of a line, and goes on in lines that do not."""
    lines: list[str] = []
    for line in text.splitlines():
        if line.startswith("--") or not line.strip():
            continue
        if lines and not line[0].isspace():
            yield "\n".join(lines)
            lines = []
        lines.append(line)
    if lines:
        yield "\n".join(lines)


def distinct(texts: Iterable[str]) -> list[str]:
    """Return each text once, in order."""
    return list(dict.fromkeys(texts))


def _without_comments(text: str) -> str:
    leading = _COMMENTS.match(text)
    return text[leading.end() :] if leading else text
