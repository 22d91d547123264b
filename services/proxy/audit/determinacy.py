"""Does the data alone decide a statement's rows? Only then does another answer to it prove anything. Pure.

Postgres may give two answers on the same data where a statement leaves it a choice: which rows a LIMIT takes among
equals, in which order an aggregate meets its values (a sum of doubles differs in its last digit, a list in its order),
which of two values that are equal and look different stands for both (the numeric 1.0 and 1.00). Asking twice does not
tell, because a choice stays the same until a row that has nothing to do with the answer moves in its table. So a
statement counts as decided only where nothing in it is known to leave a choice; what is not understood is not decided.

The order of the rows is nobody's concern here: answers are compared as bags of rows.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from sqlglot import exp

from services.proxy.audit.comparison import is_cut, rows_of
from services.proxy.cache.entry import Answer
from services.proxy.session.requests import Request
from services.proxy.session.row_counts import row_count
from services.proxy.sql.call_rules import BEFORE_PARENTHESIS
from services.proxy.sql.claims import ValueRef
from services.proxy.sql.lexer import LiteralKind
from services.proxy.sql.row_limits import RowLimits, row_limits
from services.proxy.sql.snapshot import Catalog, Relation
from services.proxy.sql.statement import NameSpace, Statement, read_statement
from services.proxy.sql.template import Lexed
from services.proxy.sql.tokens import Token, TokenError, TokenKind, at
from services.proxy.sql.verdict import Analysis

# Words with which a statement may take some of many rows, or rank them: which, is not told by the data alone.
_CHOOSING = frozenset("fetch offset over within tablesample recursive".split())
# Words by which values that are equal are made one.
_MERGING = frozenset("distinct except group intersect union".split())
# Functions of many rows.
_AGGREGATES = frozenset(
    """
    any_value array_agg avg bit_and bit_or bit_xor bool_and bool_or corr count covar_pop covar_samp cume_dist dense_rank
    every first_value json_agg json_agg_strict json_object_agg json_object_agg_strict json_object_agg_unique
    json_object_agg_unique_strict jsonb_agg jsonb_agg_strict jsonb_object_agg jsonb_object_agg_strict
    jsonb_object_agg_unique jsonb_object_agg_unique_strict lag last_value lead max min mode nth_value ntile percent_rank
    percentile_cont percentile_disc range_agg range_intersect_agg rank regr_avgx regr_avgy regr_count regr_intercept
    regr_r2 regr_slope regr_sxx regr_sxy regr_syy row_number stddev stddev_pop stddev_samp string_agg sum var_pop
    var_samp variance xmlagg
    """.split()
)
# Where values are merged or summed up, nothing else may be called: of these, exact values in any order give one result.
_STEADY_CALLS = frozenset("avg bool_and bool_or coalesce count every max min nullif sum".split())
# Types of which equal values look the same, and whose sums do not depend on the order.
_EXACT_TYPES = frozenset(
    "bool bytea char date int2 int4 int8 name oid text time timestamp timestamptz uuid varchar".split()
)
_SUB_QUERY = re.compile(r"\bselect\b", re.IGNORECASE)
_INEXACT_OIDS = frozenset((700, 701, 1700))  # float4, float8, numeric
_COMPARISONS = frozenset(("=", "<", ">", "<=", ">=", "<>", "!="))


class Decided(Enum):
    """What the data decides of an answer."""

    ROWS = "rows"
    COUNT = "count"  # how many rows there are; and which, if the limit leaves none out
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Determinacy:
    """What the data decides of a statement's answers.

    Attributes:
        decided: That.
        limit: Where the number of rows comes from that are given at most, where no more is to be known of it.
        merges: Values of several rows become one: then those of the parameters have to be exact, too.
    """

    decided: Decided
    limit: ValueRef | None = None
    merges: bool = False

    def tells(self, lexed: Lexed, request: Request, one: Answer, other: Answer) -> bool:
        """Tell whether two answers that differ cannot both be right for the same data."""
        if self.decided is Decided.NOTHING or is_cut(one) or is_cut(other):
            return False
        if self.merges and not _INEXACT_OIDS.isdisjoint(request.parameter_types):
            return False
        if self.decided is Decided.ROWS:
            return True
        counts = len(rows_of(one)), len(rows_of(other))
        limit = row_count(self.limit, lexed, request) if self.limit is not None else None
        return counts[0] != counts[1] or (limit is not None and counts[0] < limit)


_NOTHING = Determinacy(Decided.NOTHING)


def determinacy(lexed: Lexed, analysis: Analysis, catalog: Catalog) -> Determinacy:
    """Return what the data decides of a cacheable statement's answers."""
    try:
        statement = read_statement(lexed, catalog, NameSpace(()))  # its relations are known from the analysis
    except TokenError:
        return _NOTHING
    relations = [catalog.by_oid.get(oid) for oid in analysis.relations]
    known = [relation for relation in relations if relation is not None]
    if statement.tree is None or len(known) != len(relations) or _reads_view(analysis, catalog):
        return _NOTHING
    tokens = statement.tokens
    limits = row_limits(statement) if any(token.is_word("limit", "offset") for token in tokens) else RowLimits()
    skips = limits is not None and limits.offset is not None
    if limits is None or not _chooses_nothing(tokens, but_for="offset" if skips else ""):
        return _NOTHING
    if not all(_policies_choose_nothing(relation, catalog) for relation in known):
        return _NOTHING
    merges = _merges(tokens)
    if merges and not _merges_exactly(statement, known):
        return _NOTHING
    if (limits.limit is None and not skips) or _names_one_row(analysis, known):
        return Determinacy(Decided.ROWS, merges=merges)
    return Determinacy(Decided.COUNT, None if skips else limits.limit, merges)


def _reads_view(analysis: Analysis, catalog: Catalog) -> bool:
    """Whether some name may mean a view, whose definition may leave a choice; or something that is not in the catalog.

    A number beside those of relations stands for text search configurations, which leave none.
    """
    found = (catalog.by_oid.get(oid) for oid in analysis.names)
    return any(relation is not None and relation.kind not in ("r", "p") for relation in found)


def _chooses_nothing(tokens: tuple[Token, ...], but_for: str = "") -> bool:
    for index, token in enumerate(tokens):
        if token.kind is TokenKind.QUOTED and at(tokens, index + 1).is_mark("("):
            return False  # a function by a quoted name is not looked up in the lists here
        if token.kind is not TokenKind.WORD or token.text == but_for:
            continue
        if token.text in _CHOOSING or (token.text == "distinct" and at(tokens, index + 1).is_word("on")):
            return False
        if token.text == "array" and at(tokens, index + 1).is_mark("("):
            return False  # of a sub-query, whose rows come in any order
    return True


def _policies_choose_nothing(relation: Relation, catalog: Catalog) -> bool:
    """Whether no policy of a table has a sub-query: each looks at a row by itself."""
    if not relation.row_security:
        return True
    return not any(_SUB_QUERY.search(policy.expression) for policy in catalog.policies.get(relation.oid, ()))


def _merges(tokens: tuple[Token, ...]) -> bool:
    """Whether values of several rows become one."""
    calls = set(_calls(tokens))
    return not calls.isdisjoint(_AGGREGATES) or any(token.is_word(*_MERGING) for token in tokens)


def _calls(tokens: tuple[Token, ...]) -> Iterable[str]:
    for index, token in enumerate(tokens):
        if token.is_name and at(tokens, index + 1).is_mark("(") and token.text not in BEFORE_PARENTHESIS:
            yield token.text


def _merges_exactly(statement: Statement, relations: list[Relation]) -> bool:
    """Whether merging and summing up give one result in any order: of exact values alone.

    A name that is no column's may be a row as a whole, which has all columns; unless it is given in the statement.
    """
    assert statement.tree is not None
    if set(_calls(statement.tokens)) - _STEADY_CALLS or _computes(statement.tokens):
        return False
    if any(literal.kind is LiteralKind.DECIMAL for literal in statement.lexed.literals):
        return False
    given = {alias.alias for alias in statement.tree.find_all(exp.Alias)}
    for column in statement.tree.find_all(exp.Column):
        if isinstance(column.this, exp.Star) or _is_exact(column.name, relations):
            continue
        if column.name not in given or any(relation.column(column.name) for relation in relations):
            return False
    stars = [star for star in statement.tree.find_all(exp.Star) if not isinstance(star.parent, exp.Count)]
    return not stars or all(_is_exact(column.name, relations) for relation in relations for column in relation.columns)


def _computes(tokens: tuple[Token, ...]) -> bool:
    """Whether something may be computed that is not exact: by a cast, or by an operator that is no comparison."""
    for index, token in enumerate(tokens):
        before = at(tokens, index - 1)
        is_star = token.text == "*" and (before.text in ("(", ",", ".") or before.is_word("select", "distinct", "all"))
        if token.is_mark("::") or token.is_word("cast"):
            return True
        if token.kind is TokenKind.OPERATOR and token.text not in _COMPARISONS and not is_star:
            return True
    return False


def _is_exact(name: str, relations: list[Relation]) -> bool:
    """Whether a column of that name is of an exact type, in whatever table it is."""
    found = [column for relation in relations if (column := relation.column(name)) is not None]
    return bool(found) and all(
        column.deterministic and (column.is_enum or (column.type_name in _EXACT_TYPES and not column.user_type))
        for column in found
    )


def _names_one_row(analysis: Analysis, relations: list[Relation]) -> bool:
    """Whether a statement reads one table, once, by its whole primary key: a limit leaves out nothing or all."""
    if len(analysis.tag_rules) != 1 or len(relations) != 1:
        return False
    (rule,), (relation,) = analysis.tag_rules, relations
    held = {
        column.name
        for column, sources in zip(rule.shape.columns, rule.sources, strict=True)
        if len(sources) == 1 and not sources[0].is_array
    }
    return bool(relation.primary_key) and held.issuperset(relation.primary_key)
