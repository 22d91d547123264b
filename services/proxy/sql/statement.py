"""One statement as the rules see it: tokens, tree, relations, catalog and name space, all immutable. Pure."""

import logging
import re
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import sqlglot
from sqlglot import exp

from services.proxy.sql.ageing import NO_AGEING, Ageing
from services.proxy.sql.claims import literal_mark
from services.proxy.sql.lexer import LiteralKind
from services.proxy.sql.occurrences import NameInFrom, Occurrence, parsed_relations
from services.proxy.sql.snapshot import Catalog, Relation
from services.proxy.sql.template import Lexed, fill_placeholders
from services.proxy.sql.tokens import Token, tokenise

_DIALECT = "postgres"
logging.getLogger("sqlglot").setLevel(logging.ERROR)  # it warns of what it cannot parse; to us that is a verdict
_PARSED_KEYWORDS = ("SELECT", "WITH", "VALUES", "TABLE", "INSERT", "UPDATE", "DELETE")
# sqlglot takes `$1,$2` for the beginning of a dollar-quoted text with the tag `1,`: a space goes behind each parameter.
_PARAMETER_OR_QUOTED = re.compile(r'"(?:[^"]|"")*+"|(?<![\w$])(\$[0-9]+)')
# Operators that sqlglot cannot read. Like `<->`, which it can, Postgres binds them tighter than comparisons; which
# operators a statement may use is decided by its tokens.
_UNREAD_OPERATORS = frozenset("<<| |>> &<| |&> ~= ?-| ?|| ?# ## <^ >^ <<= >>= ~<~ ~<=~ ~>~ ~>=~".split())
_STAND_IN = "<->"
_OPERATOR = re.compile(r'"(?:[^"]|"")*+"|[+\-*/<>=~!@#%^&|`?]+')
# Types that it does not take in front of a literal: it reads `'…'::inet` for `inet '…'`.
_TYPED_LITERAL = re.compile(
    r'"(?:[^"]|"")*+"|(?<![\w$."])(bit|box|cidr|circle|inet|line|lseg|macaddr8?|path|pg_lsn|point|polygon|tsquery|tsvector)'
    r" ?(\{[ed]?str\})"
)
_NUMBERS = (LiteralKind.INTEGER, LiteralKind.DECIMAL, LiteralKind.RADIX)


class NameSpace(NamedTuple):
    """How names of a session are resolved.

    Attributes:
        schemas: What `current_schemas(true)` gives.
        client_encoding: The session's encoding; statements are read as UTF-8.
    """

    schemas: tuple[str, ...]
    client_encoding: str = "UTF8"


@dataclass(frozen=True)
class Statement:
    """A statement under analysis.

    Attributes:
        tree: None when sqlglot cannot read it.
        names: Every name in FROM as sqlglot sees it, in order.
        ageing: What its answers may age by without being refused for it.
    """

    lexed: Lexed
    tokens: tuple[Token, ...]
    tree: exp.Expr | None
    occurrences: tuple[Occurrence, ...]
    names: tuple[NameInFrom, ...]
    catalog: Catalog
    name_space: NameSpace
    ageing: frozenset[Ageing] = NO_AGEING

    @cached_property
    def relations(self) -> tuple[Relation | None, ...]:
        """What each occurrence means; None for a name that means nothing here."""
        path = self.name_space.schemas
        return tuple(self.catalog.resolve(found.schema, found.name, path) for found in self.occurrences)

    @cached_property
    def words(self) -> frozenset[str]:
        """Every unquoted word."""
        return frozenset(token.text for token in self.tokens if token.kind is token.kind.WORD)


def read_statement(lexed: Lexed, catalog: Catalog, name_space: NameSpace) -> Statement:
    """Parse a statement. Its literals do not decide anything but by their kind.

    Raises:
        TokenError: The template cannot be cut into tokens.
    """
    tokens = tokenise(lexed.template)
    tree = _parse(lexed)
    occurrences, names = parsed_relations(tree) if tree is not None else ([], [])
    return Statement(lexed, tokens, tree, tuple(occurrences), tuple(names), catalog, name_space)


def _parse(lexed: Lexed) -> exp.Expr | None:
    """Parse the template with marks in the places of the literals."""
    if lexed.keyword not in _PARSED_KEYWORDS or lexed.statement_count != 1:
        return None
    texts = [literal_mark(number, is_number=literal.kind in _NUMBERS) for number, literal in enumerate(lexed.literals)]
    template = _PARAMETER_OR_QUOTED.sub(
        lambda found: f"{found.group()} " if found[1] else found.group(), lexed.template
    )
    template = _OPERATOR.sub(lambda found: _STAND_IN if found.group() in _UNREAD_OPERATORS else found.group(), template)
    template = _TYPED_LITERAL.sub(lambda found: f"{found[2]}::{found[1]}" if found[1] else found.group(), template)
    try:
        trees = sqlglot.parse(fill_placeholders(template, texts), dialect=_DIALECT)
    except Exception:  # noqa: BLE001 - it stumbles in many ways (a TypeError over `a ?# b`): all mean "not understood"
        return None
    return trees[0] if len(trees) == 1 and isinstance(trees[0], exp.Expr) else None
