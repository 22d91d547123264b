"""Items of FROM that are no relation and no query: functions that give rows, and joins that have a name. Pure."""

from collections.abc import Sequence

from tests.precision.scopes import Item, Output
from tests.precision.values import INT4, INT8, TEXT, Kind
from tests.wire.chance import Chance


def function_item(chance: Chance, alias: str, column: tuple[str, Kind] | None) -> tuple[str, Item]:
    """Make a call in FROM: of constants, or of a column of the items in front of it."""
    lateral = chance.pick(("", "LATERAL "))
    if column is None or chance.one_in(3):
        kind = chance.pick((INT4, INT8))
        last = chance.between(1, 3)
        return f"{lateral}generate_series(1::{kind.name}, {last}) AS {alias} (a)", Item(alias, [Output("a", kind)])
    name, kind = column
    if kind.name.startswith("_"):
        return f"{lateral}unnest({name}::text[]) {alias} (k)", Item(alias, [Output("k", TEXT)])
    if chance.one_in(3):
        call = f"jsonb_each_text(jsonb_build_object('k', {name})) WITH ORDINALITY"
        return f"{lateral}{call} AS {alias} (a, k, n)", Item(alias, [Output("k", TEXT), Output("n", INT8)])
    return f"{lateral}unnest(ARRAY[{name}, {name}]) AS {alias} (k)", Item(alias, [Output("k", kind)])


def named_join(alias: str, tree: str, items: Sequence[Item]) -> tuple[str, Item] | None:
    """Give a name to a join, and new ones to its columns; None where columns are merged, so that it has fewer."""
    if len(items) < 2 or " USING " in tree or "NATURAL" in tree:
        return None
    kinds = [output.kind for item in items for output in item.columns]
    outputs = [Output(f"j{number}", kind) for number, kind in enumerate(kinds)]
    return f"({tree}) AS {alias} ({', '.join(output.name for output in outputs)})", Item(alias, outputs)
