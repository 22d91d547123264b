"""Which nodes of sqlglot's tree a cached statement may hold, and which parts each may have. All else is refused."""

from sqlglot import exp

_ALIAS_PARTS = ("this", "alias")
_QUERY_TAIL = ("with_", "order", "limit", "offset")
_SET_OPERATION = frozenset(("this", "expression", "distinct", *_QUERY_TAIL))

# Nodes whose parts are decided one by one: clauses that a new sqlglot version adds are refused until they are read
# here.
STRUCTURE: dict[type[exp.Expr], frozenset[str]] = {
    exp.Select: frozenset(
        ("expressions", "from_", "joins", "where", "group", "having", "windows", "distinct", *_QUERY_TAIL)
    ),
    exp.Union: _SET_OPERATION,
    exp.Intersect: _SET_OPERATION,
    exp.Except: _SET_OPERATION,
    exp.Subquery: frozenset(("this", "alias", "joins", *_QUERY_TAIL)),
    exp.With: frozenset(("expressions", "recursive")),
    exp.CTE: frozenset((*_ALIAS_PARTS, "materialized")),
    exp.From: frozenset(("this",)),
    exp.Join: frozenset(("this", "on", "using", "method", "side", "kind")),
    exp.Table: frozenset(("this", "db", "alias", "only", "joins", "ordinality")),
    exp.TableAlias: frozenset(("this", "columns")),
    exp.Lateral: frozenset((*_ALIAS_PARTS, "ordinality")),
    exp.Unnest: frozenset(("expressions", "alias", "offset")),
    exp.ColumnDef: frozenset(("this", "kind")),
    exp.Where: frozenset(("this",)),
    exp.Group: frozenset(("expressions", "rollup", "cube", "grouping_sets")),
    exp.Having: frozenset(("this",)),
    exp.Order: frozenset(("this", "expressions")),
    exp.Ordered: frozenset(("this", "desc", "nulls_first")),
    exp.Limit: frozenset(("expression",)),
    exp.Offset: frozenset(("expression",)),
    exp.Fetch: frozenset(("direction", "count", "limit_options")),
    exp.LimitOptions: frozenset(("rows", "with_ties")),
    exp.Distinct: frozenset(("on", "expressions")),
    exp.Column: frozenset(("this", "table", "db")),
    exp.Window: frozenset(("this", "partition_by", "order", "spec", "alias", "over")),
    exp.Values: frozenset(("expressions", "alias")),
}

# Nodes that hold nothing but expressions. (What sqlglot takes for a lambda is `a -> 'b'` as an argument.)
PLAIN: tuple[type[exp.Expr], ...] = (
    exp.Alias, exp.Aliases, exp.Identifier, exp.Star, exp.Literal, exp.Boolean, exp.Null, exp.Parameter, exp.Paren,
    exp.Tuple, exp.And, exp.Or, exp.Not, exp.Neg, exp.Is, exp.In, exp.Between, exp.Any, exp.All, exp.Case, exp.If,
    exp.Exists, exp.Cast, exp.DataType, exp.DataTypeParam, exp.Interval, exp.IntervalSpan, exp.Var, exp.WindowSpec,
    exp.Explode, exp.Filter, exp.WithinGroup, exp.Lambda, exp.Array, exp.Bracket, exp.Slice, exp.AtTimeZone,
    exp.Collate, exp.Escape, exp.Rollup, exp.Cube, exp.GroupingSets, exp.JSONPath, exp.JSONPathRoot, exp.JSONPathKey,
    exp.JSONPathSubscript,
)  # fmt: skip

# Operators and calls: which ones is decided by the tokens (symbols, and names before a parenthesis).
_BY_TOKENS: tuple[type[exp.Expr], ...] = (exp.Func, exp.Binary, exp.Unary)
_NEVER: tuple[type[exp.Expr], ...] = (exp.UDTF, exp.Operator, exp.PropertyEQ, exp.Kwarg)

QUERIES: tuple[type[exp.Expr], ...] = (exp.Select, exp.Union, exp.Intersect, exp.Except)
WRITES: tuple[type[exp.Expr], ...] = (exp.Insert, exp.Update, exp.Delete, exp.Merge)


def is_allowed(node: exp.Expr) -> bool:
    """Tell whether a node, apart from the nodes inside it, may stand in a cached statement."""
    parts = STRUCTURE.get(type(node))
    if parts is not None:
        return all(name in parts for name, value in node.args.items() if value not in (None, False, []))
    if isinstance(node, PLAIN):
        return True
    if isinstance(node, exp.Dot):  # pg_catalog.upper(x), x::pg_catalog.int8; never (x).name
        return isinstance(node.parent, exp.DataType) or isinstance(node.expression, exp.Func)
    return isinstance(node, _BY_TOKENS) and not isinstance(node, _NEVER)
