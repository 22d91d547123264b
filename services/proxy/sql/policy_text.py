"""The expression of a row security policy, made into what the rules for statements can read. Pure.

What a policy asks of the session (`current_user`, `current_setting('app.tenant')`) has the place of a literal: it is
the same for a whole answer, and the verdict on a statement holds whatever its literals say. Those values are part of
the answer's key instead: the roles always are, and each setting is named here. A function of the database without
arguments, whose body is one SELECT of its own, is replaced by that body (Supabase's `auth.uid()` is one).

Only settings that somebody made up are read so: those with a dot in their names. Postgres's own may differ within a
transaction, or between it and the moment when the session was asked for them.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from services.proxy.sql.lexer import LexError, LiteralKind
from services.proxy.sql.reasons import Reason
from services.proxy.sql.template import Lexed, lex

_CUSTOM = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*(?:\.[A-Za-z_][A-Za-z0-9_$]*)+")
_OURS = ("tidegate.", "plpgsql.")
_MOST_NAME_CHARACTERS = 120
_NAME = r'(?:"(?:[^"]|"")*+"|[a-z_][a-z0-9_$]*+)'
_ALONE = r'(?<![\w.$"])'
_PARTS = re.compile(
    rf"""
      (?P<setting>{_ALONE}(?:pg_catalog\.)?current_setting\ ?\(\ ?\{{str\}}\ ?(?:::\ ?text\ ?)?
          (?:,\ ?(?:true|false)\ ?)?\))
    | (?P<role>{_ALONE}(?:current_user|session_user|current_role|user)(?![\w$"]|\ ?\())
    | (?P<call>{_ALONE}({_NAME})\.({_NAME})\ ?\(\ ?\))
    | (?P<quoted>"(?:[^"]|"")*+")
    | (?P<literal>\{{[a-z]+\}})
    """,
    re.VERBOSE,
)
_ROLE_NAME, _SETTING_VALUE = "(''::name)", "(''::text)"

Bodies = Mapping[tuple[str, str], str]


@dataclass(frozen=True, slots=True)
class Expression:
    """An expression in which the session's values are literals.

    Attributes:
        text: The expression.
        settings: Names of the settings that it reads, each once.
        refusal: Why what it reads of the session cannot be told; None when it can.
    """

    text: str
    settings: tuple[str, ...] = ()
    refusal: Reason | None = None


def expression(text: str, bodies: Bodies) -> Expression:
    """Read an expression as Postgres writes it.

    Args:
        text: The expression.
        bodies: What functions without arguments run, by schema and name.
    """
    try:
        return _Reader(bodies).read(lex(text))
    except LexError:
        return Expression(text, (), Reason.ROW_SECURITY)


class _Reader:
    def __init__(self, bodies: Bodies) -> None:
        self._bodies = bodies
        self._settings: dict[str, None] = {}
        self._refusal: Reason | None = None

    def read(self, lexed: Lexed) -> Expression:
        text = self._expand(lexed, self._bodies)
        return Expression(text, tuple(self._settings), self._refusal)

    def _expand(self, lexed: Lexed, bodies: Bodies) -> str:
        literals = iter(lexed.literals)

        def replaced(found: "re.Match[str]") -> str:
            match found.lastgroup:
                case "setting":
                    self._note(next(literals).value)
                    return _SETTING_VALUE
                case "role":
                    return _ROLE_NAME
                case "call":
                    return self._called(found, bodies)
                case "literal":
                    return next(literals).text
                case _:
                    return found.group()

        return _PARTS.sub(replaced, lexed.template)

    def _note(self, name: str | None) -> None:
        if name is None or not readable_setting(name):
            self._refusal = Reason.POLICY_SETTING
        else:
            self._settings[name] = None

    def _called(self, found: "re.Match[str]", bodies: Bodies) -> str:
        schema, name = (_unquoted(part) for part in found.group(*_NAMES_OF_CALL))
        body = bodies.get((schema, name))
        if body is None:
            return found.group()
        lexed = lex(body)
        plain = all(literal.kind is not LiteralKind.DOLLAR for literal in lexed.literals)
        if lexed.statement_count != 1 or lexed.keyword != "SELECT" or not plain:
            return found.group()
        return f"({self._expand(lexed, {})})"


_NAMES_OF_CALL = (_PARTS.groupindex["call"] + 1, _PARTS.groupindex["call"] + 2)


def readable_setting(name: str) -> bool:
    """Tell whether a setting is one that somebody made up: its value is what was set, and nothing sets it by itself."""
    if len(name) > _MOST_NAME_CHARACTERS or name.lower().startswith(_OURS):
        return False
    return _CUSTOM.fullmatch(name) is not None


def _unquoted(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name
