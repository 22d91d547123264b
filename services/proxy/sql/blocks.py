"""The SELECT blocks of a statement, and which conditions must hold for the rows of each relation in them. Pure.

What has to be found for an occurrence of a relation is a condition such that a row which does not satisfy it cannot
change the answer through that occurrence, whatever else the database holds. Such are:

* of its own block, each conjunct of WHERE: what comes out of the joins and does not satisfy it is dropped;
* the conjuncts of ON, where a row that does not satisfy them leaves no trace: of an inner join for what it joins; of
  an outer join for its *optional* side only, since rows of the other side come out in any case;
* of the blocks around a sub-query, what comes out of their joins: for other rows nobody looks at the sub-query. (But a
  block that aggregates without grouping gives a row even where nothing comes out, and asks for it.)

A condition of ON sees what it joins, and beyond that only the blocks around: a name that is found in neither means
nothing here, although another item of the same FROM may have it.

Conditions above GROUP BY, DISTINCT, window functions and set operations are not looked at, nor those of a block on what
a derived table gives. Where several relations stand beside each other, separated by commas, each item is a tree of
joins of its own: the comma binds weaker than JOIN.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from sqlglot import exp

from services.proxy.sql.claims import conjuncts

_KEPT_WHOLE = ("INNER", "CROSS")
_PER_ROW = ("where", "group")
"""Parts of a block whose sub-queries are looked at for what comes out of its joins, and for nothing else."""

_PER_RESULT = ("expressions", "having", "order", "distinct")
"""Parts whose sub-queries are looked at for each row of the result."""

_CALLS_NOTHING = (exp.And, exp.Or, exp.Case, exp.Cast, exp.Coalesce, exp.Exists, exp.If)


@dataclass(frozen=True, slots=True)
class Source:
    """One item of FROM: the name that columns refer to it by, and which occurrence it is; None: no relation."""

    alias: str
    occurrence: int | None


@dataclass(frozen=True, slots=True)
class Demand:
    """A conjunct that rows have to satisfy.

    Attributes:
        conjunct: The conjunct.
        sources: Whose rows (indexes into the block's sources).
        visible: To which sources its names may lead.
    """

    conjunct: exp.Expr
    sources: frozenset[int]
    visible: frozenset[int]


@dataclass(slots=True)
class Block:
    """One SELECT.

    Attributes:
        sources: The items of FROM, in order.
        demands: What has to hold for which of them.
        output: What holds for everything that comes out of the joins and of WHERE.
        parent: The block around it, to which names may lead.
        is_asked_by_parent: Whether it matters only for what comes out of the parent's joins.
        merged: Names of USING, which belong to several items at once.
        is_plain: Whether its FROM was understood; else nothing is demanded of it.
    """

    sources: list[Source] = field(default_factory=list)
    demands: list[Demand] = field(default_factory=list)
    output: list[Demand] = field(default_factory=list)
    parent: "Block | None" = None
    is_asked_by_parent: bool = False
    merged: set[str] = field(default_factory=set)
    is_plain: bool = True

    def demanded_of(self, source: int) -> Iterator[tuple[Demand, "Block"]]:
        """Give what rows of a source have to satisfy, and the block where its names are looked up."""
        for demand in self.demands:
            if source in demand.sources:
                yield demand, self
        yield from self._around()

    def _around(self) -> Iterator[tuple[Demand, "Block"]]:
        if self.parent is not None and self.is_asked_by_parent:
            for demand in self.parent.output:
                yield demand, self.parent
            yield from self.parent._around()


def read_blocks(tree: exp.Expr, occurrences: Mapping[int, int]) -> list[Block]:
    """Return the blocks of a statement.

    Args:
        tree: The statement.
        occurrences: Which occurrence a node of the tree is, by the node's `id`.
    """
    blocks: dict[int, Block] = {}
    for select in tree.find_all(exp.Select):  # outer ones come first
        block = _read_block(select, occurrences)
        above, part = _enclosing(select)
        if above is not None:
            block.parent = blocks.get(id(above))
            block.is_asked_by_parent = part in _PER_ROW or (part in _PER_RESULT and _gives_nothing_for_nothing(above))
        blocks[id(select)] = block
    return list(blocks.values())


def _enclosing(select: exp.Expr) -> tuple[exp.Select | None, str]:
    """Return the SELECT around a block, and in which of its parts the block stands; "" where names lead no further."""
    node: exp.Expr = select
    while (parent := node.parent) is not None:
        if isinstance(parent, exp.With):
            return None, ""
        if isinstance(parent, exp.Select):
            part = node.arg_key or ""
            # What stands in FROM sees some of its items at most, of which nothing is demanded for its sake.
            return (None, "") if part in ("from_", "joins") else (parent, part)
        node = parent
    return None, ""


def _gives_nothing_for_nothing(select: exp.Select) -> bool:
    """Whether it gives no row where no row comes out of its joins: it groups by columns, or does not aggregate.

    It does not if it calls nothing, or gives a column of its own outside of calls: Postgres would want that grouped.
    """
    group = select.args.get("group")
    if group is not None:
        plain = not any(group.args.get(kind) for kind in ("rollup", "cube", "grouping_sets"))
        return plain and any(isinstance(part, exp.Column | exp.Literal) for part in group.expressions)
    if select.args.get("having") is not None:
        return False
    parts = [part for part in (*select.expressions, select.args.get("order"), select.args.get("distinct")) if part]
    if any(isinstance(part, exp.Star) for part in parts):
        return True
    inside = {item.alias_or_name for part in parts for item in part.find_all(exp.Table, exp.Subquery)}
    own = {item.alias_or_name for item in _items(select)} - inside
    if any(
        column.table in own and not _calls(column, select) for part in parts for column in part.find_all(exp.Column)
    ):
        return True
    return all(isinstance(call, _CALLS_NOTHING) for part in parts for call in part.find_all(exp.Func))


def _items(select: exp.Select) -> list[exp.Expr]:
    from_ = select.args.get("from_")
    return [] if from_ is None else [from_.this, *(join.this for join in select.args.get("joins") or ())]


def _calls(node: exp.Expr, above: exp.Expr) -> bool:
    """Whether a node stands inside a call."""
    found = node.parent
    while found is not None and found is not above:
        if isinstance(found, exp.Func) and not isinstance(found, _CALLS_NOTHING):
            return True
        found = found.parent
    return False


def _read_block(select: exp.Select, occurrences: Mapping[int, int]) -> Block:
    block = Block()
    from_ = select.args.get("from_")
    if from_ is not None:
        _Joins(block, occurrences).read(from_.this, select.args.get("joins") or [])
    everything = frozenset(range(len(block.sources)))
    where = select.args.get("where")
    found = (
        [Demand(conjunct, everything, everything) for conjunct in conjuncts(where.this)] if where is not None else []
    )
    block.demands += found
    block.output += found
    if not block.is_plain:
        block.demands, block.output = [], []
    return block


@dataclass(slots=True)
class _On:
    """Conjuncts of an inner join, for which sources they hold so far, and which they see."""

    conjuncts: list[exp.Expr]
    sources: set[int]
    visible: frozenset[int]
    holds_for_later: bool = True


class _Joins:
    """Reads FROM, from left to right."""

    def __init__(self, block: Block, occurrences: Mapping[int, int]) -> None:
        self._block = block
        self._occurrences = occurrences
        self._item: set[int] = set()  # sources of the item between commas that is being read
        self._inner: list[_On] = []  # of this item
        self._done: list[_On] = []  # of the items before

    def read(self, first: exp.Expr, joins: Iterable[exp.Join]) -> None:
        """Read the first item and what is joined to it."""
        self._add(first)
        for join in joins:
            if _is_comma(join):
                self._end_item()
                self._add(join.this)
            else:
                self._join(join)
        self._end_item()
        everything = set(range(len(self._block.sources)))
        for on in self._done:
            sources = everything if on.holds_for_later else on.sources
            demands = _demands(on.conjuncts, sources, on.visible)
            self._block.demands += demands
            if on.holds_for_later:
                self._block.output += demands

    def _end_item(self) -> None:
        self._done += self._inner
        self._inner, self._item = [], set()

    def _add(self, item: exp.Expr) -> int:
        index = len(self._block.sources)
        if isinstance(item, exp.Table):
            renamed = item.args.get("alias") is not None and bool(item.args["alias"].args.get("columns"))
            occurrence = None if renamed else self._occurrences.get(id(item))
            self._block.sources.append(Source(item.alias_or_name, occurrence))
        else:
            self._block.sources.append(Source(item.alias_or_name, None))
        is_item = isinstance(item, exp.Table | exp.Lateral | exp.Unnest) or (
            isinstance(item, exp.Subquery) and isinstance(item.this, exp.Query)
        )
        is_item = is_item and bool(item.alias_or_name)  # a function without an alias goes by its name, unseen here
        if not is_item or item.args.get("joins"):
            self._block.is_plain = False
        self._item.add(index)
        return index

    def _join(self, join: exp.Join) -> None:
        left = set(self._item)
        right = self._add(join.this)
        side, kind = join.side.upper(), join.kind.upper()
        for name in join.args.get("using") or ():
            self._block.merged.add(name.name)
        if join.method or kind not in ("", "OUTER", *_KEPT_WHOLE) or side not in ("", "LEFT", "RIGHT", "FULL"):
            self._block.is_plain = False
            return
        on = join.args.get("on")
        parts = list(conjuncts(on)) if on is not None else []
        if side in ("RIGHT", "FULL"):  # what is on the left may be absent from what comes out
            for earlier in self._inner:
                earlier.holds_for_later = False
        else:
            for earlier in self._inner:
                if earlier.holds_for_later:
                    earlier.sources.add(right)
        visible = frozenset(left | {right})
        if side == "":
            self._inner.append(_On(parts, left | {right}, visible))
        elif side == "LEFT":
            self._block.demands += _demands(parts, {right}, visible)
        elif side == "RIGHT":
            self._block.demands += _demands(parts, left, visible)


def _demands(of: Iterable[exp.Expr], sources: Iterable[int], visible: frozenset[int]) -> list[Demand]:
    return [Demand(conjunct, frozenset(sources), visible) for conjunct in of]


def _is_comma(join: exp.Join) -> bool:
    return not (join.side or join.kind or join.method or join.args.get("on") or join.args.get("using"))
