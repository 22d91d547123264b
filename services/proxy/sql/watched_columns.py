"""Which columns of each relation does a statement look at? An update of others alone cannot change its answer. Pure.

Names are not resolved exactly: a name counts for every occurrence that it may belong to. More columns only evict more.
"""

from sqlglot import exp

from services.proxy.sql.snapshot import Relation
from services.proxy.sql.statement import Statement


def watched_columns(statement: Statement) -> list[frozenset[str] | None]:
    """Return the columns for each occurrence of a relation; None: all of them."""
    tree = statement.tree
    if tree is None or "natural" in statement.words or any(map(is_named_join, tree.find_all(exp.Subquery))):
        return [None] * len(statement.occurrences)
    stars = set(rows_as_values(statement))  # aliases of which all columns are given; "" for every one
    named: dict[str, set[str]] = {}  # by qualifier, "" for none
    for node in tree.find_all(exp.Column, exp.Star, exp.Identifier):
        if isinstance(node, exp.Identifier):  # of USING, or whatever else may be a column's name
            if not isinstance(node.parent, exp.Column):
                named.setdefault("", set()).add(node.name)
        elif isinstance(node, exp.Star):
            if isinstance(node.parent, exp.Column):
                stars.add(node.parent.table)
            elif not isinstance(node.parent, exp.Count) and not _is_only_asked_for(node.parent):
                stars.add("")
        elif isinstance(node, exp.Column) and not isinstance(node.this, exp.Star):
            named.setdefault(node.table, set()).add(node.name)
    known = {found.alias for found in statement.occurrences}
    for qualifier in named.keys() - known:  # of a sub-query, or a name that sqlglot took for something else
        named.setdefault("", set()).update(named[qualifier])
    named.setdefault("", set()).update(_unseen(statement, named))
    return [
        None
        if relation is None or found.renames_columns or stars & {"", found.alias}
        else _of(relation, named.get("", set()) | named.get(found.alias, set()))
        for found, relation in zip(statement.occurrences, statement.relations, strict=True)
    ]


def is_named_join(item: exp.Subquery) -> bool:
    """Whether it is `(a JOIN b …) AS j`: the name hides those of the tables, and columns go by it."""
    inside: exp.Expr = item
    while isinstance(inside, exp.Subquery) and (inside is item or not inside.alias) and not inside.args.get("joins"):
        inside = inside.this
    return bool(item.alias) and not isinstance(inside, exp.Query)


def rows_as_values(statement: Statement) -> frozenset[str]:
    """Return the aliases that stand where a value does, as in `to_json(t)`: the row, unless a column is called so.

    What the tree shows as no identifier, it may show in some other way. `t.to_json` is a call with the row, too.
    """
    tree, aliases = statement.tree, {found.alias for found in statement.occurrences}
    if tree is None:
        return frozenset(aliases)
    found = {node.name for node in tree.find_all(exp.Identifier)}
    values = {
        node.name
        for node in tree.find_all(exp.Identifier)
        if node.name in aliases
        and not isinstance(node.parent, exp.Table | exp.TableAlias)
        and not (isinstance(node.parent, exp.Column) and node.arg_key != "this")
    }
    unseen = {token.text for token in statement.tokens if token.is_name and token.text in aliases - found}
    on_rows = statement.catalog.functions.on_rows
    called = {(node.table, node.name) for node in tree.find_all(exp.Column) if node.name in on_rows}
    calls = {
        occurrence.alias
        for occurrence, relation in zip(statement.occurrences, statement.relations, strict=True)
        for alias, name in called
        if occurrence.alias == alias and (relation is None or relation.column(name) is None)
    }
    return frozenset(values | unseen | calls)


def _is_only_asked_for(select: exp.Expr | None) -> bool:
    """Whether it stands in EXISTS, which looks at no column, unless it counts rows that differ."""
    return (
        isinstance(select, exp.Select) and isinstance(select.parent, exp.Exists) and select.args.get("distinct") is None
    )


def _unseen(statement: Statement, named: dict[str, set[str]]) -> set[str]:
    """Return names of the statement that the tree shows nowhere: words that sqlglot takes for something else."""
    seen = set().union(*named.values())
    return {token.text for token in statement.tokens if token.is_name and token.text not in seen}


def _of(relation: Relation, names: set[str]) -> frozenset[str] | None:
    columns = [column for column in relation.columns if column.name in names]
    if any(column.generated for column in columns):
        return None  # it is computed from others
    return frozenset(column.name for column in columns)
