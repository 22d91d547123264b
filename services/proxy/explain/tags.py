"""The tags of an answer, with the words by which `tidegate tail` tells of their eviction. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

from services.proxy.explain.narrowing import Place
from services.proxy.session.answer_tags import answer_tags
from services.proxy.session.requests import Request
from services.proxy.sql.value_sources import LiteralSource, ParameterSource, ValueSource
from services.proxy.sql.verdict import Analysis
from services.shared.keyspace.tag_words import ALL_ROWS, entry_words, range_words, shape_words
from services.shared.keyspace.tags import entry_tag, shape_tag
from services.shared.relation import relation_tag

_NAMED_TAGS = 32


@dataclass(frozen=True, slots=True)
class Tag:
    """A tag.

    Attributes:
        words: What it stands for.
        tag: What it is in Redis and in the feed; empty where that takes parameters that are not known.
    """

    words: str
    tag: str = ""


def tags_of(place: Place, parameters: Sequence[str], analysis: Analysis) -> tuple[tuple[Tag, ...], bool]:
    """Return the tags of one place, and whether its values are such that they stand for all rows.

    Args:
        place: The place.
        parameters: Values of the statement's parameters as text; none: they are not known.
        analysis: What is known of the statement.
    """
    shape, lexed = place.rule.shape, place.statement.lexed
    if shape.is_whole_relation:
        return (Tag(ALL_ROWS, relation_tag(shape.relation)),), False
    words = range_words(shape) if shape.ranged is not None else shape_words(shape)
    combinations = list(product(*place.rule.sources)) if shape.columns else []
    sources = [source for of_column in place.sources for source in of_column]
    if not parameters and any(isinstance(source, ParameterSource) for source in sources):
        valued = [_words(place, sources, parameters) for sources in combinations[:_NAMED_TAGS]] or [words]
        wide = Tag(shape_words(shape), shape_tag(shape))
        if place.rule.key is not None:
            wide = Tag(entry_words(shape), entry_tag(shape))
        return (*map(Tag, valued), wide), False
    request = _request(lexed.text, parameters)
    whole = relation_tag(shape.relation)
    fixed = {shape_tag(shape): shape_words(shape), entry_tag(shape): entry_words(shape)}
    if (key := place.rule.key) is not None:
        fixed[shape_tag(key.shape)] = shape_words(key.shape)
    named = dict(fixed)
    for chosen in combinations[:_NAMED_TAGS]:
        alone = replace(place.rule, sources=tuple((source,) for source in chosen))
        tags = answer_tags(replace(analysis, tag_rules=(alone,)), lexed, request, b"").tags
        named |= {tag: _words(place, chosen, parameters) for tag in tags if tag not in {whole, *fixed}}
    tags = answer_tags(replace(analysis, tag_rules=(place.rule,)), lexed, request, b"").tags
    if tags == (whole,):
        return (Tag(ALL_ROWS, whole),), True
    return tuple(Tag(named.get(tag, words), tag) for tag in tags), False


def _words(place: Place, sources: Sequence[ValueSource], parameters: Sequence[str]) -> str:
    """Say which values a tag is of, as far as they are known."""
    pairs = zip(place.rule.shape.columns, sources, strict=True)
    return " ".join(f"{column.name}={_value(place, source, parameters)}" for column, source in pairs)


def _value(place: Place, source: ValueSource, parameters: Sequence[str]) -> str:
    if isinstance(source, LiteralSource):
        literal = place.statement.lexed.literals[source.index]
        text = literal.text if literal.value is None else literal.value
    else:
        text = parameters[source.index] if source.index < len(parameters) else f"${source.index + 1}"
    return f"any of {text}" if source.is_array else text


def _request(text: str, parameters: Sequence[str]) -> Request:
    return Request(
        text=text.encode(),
        parameter_types=(),
        parameter_formats=(),
        values=tuple(value.encode() for value in parameters),
        result_formats=(),
        row_limit=0,
        described=True,
        parses=True,
        sets_unnamed=True,
        unnamed=None,
        simple=False,
        depends_on_unnamed=False,
    )
