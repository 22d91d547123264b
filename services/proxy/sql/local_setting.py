"""Statements that give a setting a value until the end of the transaction, and do nothing else. Pure.

`SET LOCAL app.tenant = '7'` and `SELECT set_config('app.tenant', $1, true)`, of settings with a dot in their names.
"""

import re
from dataclasses import dataclass

from services.proxy.sql.lexer import LiteralKind
from services.proxy.sql.policy_text import readable_setting
from services.proxy.sql.reserved_words import RESERVED_WORDS
from services.proxy.sql.template import Lexed

_PART = r'(?:"(?:[^"]|"")*+"|[a-z_][a-z0-9_$]*+)'
_SET = re.compile(rf"set local ({_PART}(?: ?\. ?{_PART})+) ?(?:=|to) ?\{{(?:str|int)\}}")
_CALL = re.compile(
    r"select (?:pg_catalog\.)?set_config ?\( ?\{str\} ?, ?(?:\{str\}|(\$1)) ?(?:::text ?)?, ?true ?\)"
    r"(?: as ([a-z_][a-z0-9_$]{0,62}))?"
)
_ONE_PART = re.compile(_PART)
SET_CONFIG = "set_config"


@dataclass(frozen=True, slots=True)
class LocalSetting:
    """What such a statement does.

    Attributes:
        name: The setting, folded: its case is of no importance.
        value: Its value; None: that of the only parameter.
        column: What the only column of its answer is called; empty: it is a SET, which gives no row.
    """

    name: str
    value: str | None
    column: str


def local_setting(lexed: Lexed) -> LocalSetting | None:
    """Return what a statement sets; None when it does something else, or more."""
    if lexed.statement_count != 1 or lexed.keyword not in ("SET", "SELECT"):
        return None
    if any(literal.kind not in (LiteralKind.STRING, LiteralKind.INTEGER) for literal in lexed.literals):
        return None
    found = _set(lexed) if lexed.keyword == "SET" else _called(lexed)
    return found if found is not None and readable_setting(found.name) else None


def _set(lexed: Lexed) -> LocalSetting | None:
    written = _SET.fullmatch(lexed.template)
    if written is None:
        return None
    parts = _ONE_PART.findall(written[1])
    if any(part in RESERVED_WORDS for part in parts):
        return None  # Postgres would not take it for a name
    name = ".".join(part[1:-1].replace('""', '"') if part.startswith('"') else part for part in parts)
    literal = lexed.literals[0]
    value = literal.value
    if value is None or (literal.kind is LiteralKind.INTEGER and value != str(int(value))):
        return None  # Postgres would write the number in another way
    return LocalSetting(name.lower(), value, "")


def _called(lexed: Lexed) -> LocalSetting | None:
    written = _CALL.fullmatch(lexed.template)
    if written is None or any(literal.kind is not LiteralKind.STRING for literal in lexed.literals):
        return None
    name, *values = (literal.value for literal in lexed.literals)
    if name is None or (not written[1] and values[0] is None):
        return None
    return LocalSetting(name.lower(), None if written[1] else values[0], written[2] or SET_CONFIG)
