"""Which tags does this answer carry? The rules of its template, with the values of this very statement. Pure."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import product
from math import prod

from services.proxy.session.page_end import page_blocks
from services.proxy.session.requests import Request
from services.proxy.session.row_counts import row_count
from services.proxy.session.shown_rows import shown_key_tags
from services.proxy.sql.array_values import array_elements, binary_array
from services.proxy.sql.shown_keys import ShownKey
from services.proxy.sql.template import Lexed
from services.proxy.sql.value_sources import Bounds, LiteralSource, ParameterSource, ValueSource
from services.proxy.sql.verdict import Analysis, TagRule
from services.shared.keyspace.canonical import canonical_binary, canonical_text
from services.shared.keyspace.intervals import cover
from services.shared.keyspace.order_keys import HIGHEST, LOWEST, Keys, keys_of_binary, keys_of_text
from services.shared.keyspace.tags import entry_tag, shape_tag
from services.shared.relation import Shape, ShapeColumn, relation_tag, value_tags

MOST_TAGS = 256
"""Of one occurrence of a relation; an answer that would have more depends on the relation."""

MOST_TAGS_OF_ALL = 1_000
"""An answer that would have more depends on all of its relations."""

_TEXT_FORMAT = 0
_NO_TYPES = (0, 705)  # not declared, or as unknown: Postgres finds it out


@dataclass(frozen=True, slots=True)
class AnswerTags:
    """What an answer depends on.

    Attributes:
        tags: Its tags.
        shapes: Ids of the shapes that they rest on.
        wanted: Shapes that would have made them narrower, and are not matched with row changes yet.
    """

    tags: tuple[str, ...]
    shapes: tuple[str, ...]
    wanted: tuple[Shape, ...]


def answer_tags(
    analysis: Analysis,
    lexed: Lexed,
    request: Request,
    rows: bytes,
    is_matched: Callable[[str], bool] = lambda _: True,
) -> AnswerTags:
    """Return what an answer depends on.

    What cannot be said narrowly is said widely, which evicts more and never less: without the columns that are watched,
    or as the whole relation, with whose tag every row change is matched.

    Args:
        analysis: What is known of the statement's template.
        lexed: The statement.
        request: Its parameters.
        rows: The answer's DataRow messages.
        is_matched: Tells of a shape, by its id, whether row changes have been matched with it for long enough.
    """
    found = _Found()
    for rule in analysis.tag_rules:
        shape, columns = found.usable(rule.shape.relation, _candidates(rule, lexed, request, rows), is_matched)
        if shape.is_whole_relation:
            found.add_tags(relation_tag(shape.relation))
            continue
        found.add_tags(*(value_tags(shape, product(*columns)) if columns else ()))
        # Of a shape that only watches, any change evicts its tag: there is no row that does not come to satisfy it.
        key = rule.key if shape.named and rule.key is not None and is_matched(rule.key.shape.id) else None
        skips = key is not None and key.offset is not None and row_count(key.offset, lexed, request) != 0
        shown = None if key is None or skips else shown_key_tags(key, rows, request.result_formats)
        found.add_shape(shape, key, shown)
    if len(found.tags) > MOST_TAGS_OF_ALL:
        return AnswerTags(tuple(map(relation_tag, analysis.relations)), (), tuple(found.wanted))
    return AnswerTags(tuple(found.tags), tuple(found.shapes), tuple(found.wanted))


class _Found:
    """What has been found so far; dictionaries, since they keep the order."""

    def __init__(self) -> None:
        self.tags: dict[str, None] = {}
        self.shapes: dict[str, None] = {}
        self.wanted: list[Shape] = []

    def usable(
        self, relation: int, candidates: Iterable[tuple[Shape, list[list[bytes]]]], is_matched: Callable[[str], bool]
    ) -> tuple[Shape, list[list[bytes]]]:
        """Return the first candidate that can be used, else all of the relation; note what would have been narrower."""
        found: tuple[Shape, list[list[bytes]]] = Shape(relation), []
        narrowest: Shape | None = None
        for candidate in candidates:
            shape, _ = candidate
            if shape.is_whole_relation or is_matched(shape.id):
                found = candidate
                break
            narrowest = narrowest or shape
        if narrowest is not None:
            self.wanted.append(narrowest)
        return found

    def add_tags(self, *tags: str) -> None:
        self.tags.update(dict.fromkeys(tags))

    def add_shape(self, shape: Shape, key: ShownKey | None, shown: tuple[str, ...] | None) -> None:
        """Add what an unknown row evicts: of a shape, or only of the keys that are shown."""
        self.shapes[shape.id] = None
        if key is None or shown is None:
            self.add_tags(shape_tag(shape))
        else:
            self.add_tags(entry_tag(shape), shape_tag(key.shape), *shown)
            self.shapes[key.shape.id] = None


def _candidates(
    rule: TagRule, lexed: Lexed, request: Request, rows: bytes
) -> Iterator[tuple[Shape, list[list[bytes]]]]:
    """Give shapes that an answer may be tagged by, the narrowest first, with the values of each of their columns.

    Nearly always the first will do, so the others are not made before they are asked for.
    """
    columns = _columns(rule, lexed, request)
    if columns is None:
        return
    shape, tag_count = rule.shape, prod(map(len, columns))
    if rule.page is not None:
        blocks = page_blocks(rule.page, lexed, request, rows)
        if blocks is not None and tag_count * len(blocks) <= MOST_TAGS:
            yield replace(shape, ranged=rule.page.column), [*columns, blocks]
    if tag_count <= MOST_TAGS:
        yield shape, columns
        if shape.watched is not None:
            yield replace(shape, watched=None), columns


def _columns(rule: TagRule, lexed: Lexed, request: Request) -> list[list[bytes]] | None:
    """Return for each column of a shape the values that it may have, or blocks of them; None if one cannot be told."""
    columns = held_values(rule, lexed, request)
    if columns is None or rule.shape.ranged is None:
        return columns
    blocks = _range(rule.shape.ranged, rule.bounds, lexed, request)
    return None if blocks is None else [*columns, blocks]


def held_values(rule: TagRule, lexed: Lexed, request: Request) -> list[list[bytes]] | None:
    """Return the values that a statement holds the columns of a rule's shape equal to; None if one cannot be told."""
    columns: list[list[bytes]] = []
    for alternatives in rule.sources:
        if len(alternatives) == 1 and not alternatives[0].is_array:  # nearly always
            alone = _values(alternatives[0], lexed, request)
            if alone is None:
                return None
            columns.append(alone)
            continue
        values: list[bytes] = []
        if not _are_of_known_types(alternatives, request):
            return None
        for source in alternatives:
            found = _values(source, lexed, request)
            if found is None:
                return None
            values += found
        columns.append(list(dict.fromkeys(values)))
    return columns


def _are_of_known_types(alternatives: tuple[ValueSource, ...], request: Request) -> bool:
    """Whether no parameter's type follows from that of another one beside it: `k IN ($1, $2)`, only one declared."""
    declared = {
        source.index < len(request.parameter_types) and request.parameter_types[source.index] not in _NO_TYPES
        for source in alternatives
        if isinstance(source, ParameterSource)
    }
    return len(declared) < 2


def _range(column: ShapeColumn, bounds: Bounds, lexed: Lexed, request: Request) -> list[bytes] | None:
    """Return the blocks that a column's values may be in; None where neither bound can be told."""
    low = [_keys(source, column.type_oid, lexed, request) for source in bounds.low]
    high = [_keys(source, column.type_oid, lexed, request) for source in bounds.high]
    lows, highs = [keys.low for keys in low if keys], [keys.high for keys in high if keys]
    if not lows and not highs:
        return None
    return list(cover(max(lows, default=LOWEST), min(highs, default=HIGHEST)))


def _keys(source: ValueSource, column_oid: int, lexed: Lexed, request: Request) -> Keys | None:
    """Return the keys of a bound; None where it has none."""
    given = _given(source, lexed, request)
    if given is None:
        return None
    type_oid, value = given
    if isinstance(value, str):
        return keys_of_text(column_oid, type_oid, value)
    return keys_of_binary(column_oid, type_oid, value)


def _values(source: ValueSource, lexed: Lexed, request: Request) -> list[bytes] | None:
    """Return the values that a column is held equal to, in canonical form; None where one has none."""
    given = _given(source, lexed, request)
    if given is None:
        return None
    type_oid, value = given
    if isinstance(value, str):
        return _texts(value, type_oid, is_array=source.is_array)
    if source.is_array:
        return _binary_array(source, value) if isinstance(source, ParameterSource) else None
    return _complete([canonical_binary(type_oid, value)])


def _given(source: ValueSource, lexed: Lexed, request: Request) -> tuple[int, str | bytes] | None:
    """Return the value at a source, a text or in binary format, and the type as which it is read; None for NULL."""
    if isinstance(source, LiteralSource):
        text = lexed.literals[source.index].value
        return None if text is None else (source.type_oid, text)
    if source.index >= len(request.values):
        return None
    value = request.values[source.index]
    declared = request.parameter_types[source.index] if source.index < len(request.parameter_types) else 0
    if value is None or declared not in source.types:
        return None
    type_oid = source.read_as(declared)
    if request.parameter_format(source.index) != _TEXT_FORMAT:
        return type_oid, value
    try:
        return type_oid, value.decode()
    except UnicodeDecodeError:
        return None


def _texts(text: str, type_oid: int, *, is_array: bool) -> list[bytes] | None:
    if not is_array:
        form = canonical_text(type_oid, text)
        return None if form is None else [form]
    elements = array_elements(text)
    if elements is None:
        return None
    return _complete([canonical_text(type_oid, element) for element in elements if element is not None])


def _complete(forms: list[bytes | None]) -> list[bytes] | None:
    known = [form for form in forms if form is not None]
    return known if len(known) == len(forms) else None


def _binary_array(source: ParameterSource, value: bytes) -> list[bytes] | None:
    array = binary_array(value)
    if array is None or array[0] not in source.members:
        return None
    element_oid = source.read_as(array[0])
    return _complete([canonical_binary(element_oid, element) for element in array[1] if element is not None])
