"""Which tags does this answer carry? The rules of its template, with the values of this very statement. Pure."""

from services.proxy.session.requests import Request
from services.proxy.sql.template import Lexed
from services.proxy.sql.verdict import Analysis, LiteralSource, ParameterSource, ValueSource
from services.shared.keyspace.canonical import canonical_binary, canonical_text
from services.shared.keyspace.tags import occurrence_tags
from services.shared.relation import Shape, ShapeColumn

_TEXT_FORMAT = 0
_UNDECLARED, _UNKNOWN = 0, 705  # type OIDs


def answer_tags(analysis: Analysis, lexed: Lexed, request: Request) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the tags of an answer and the shapes that they rest on.

    A value that cannot be made canonical widens its tag to the whole relation: more evictions, never fewer.
    """
    tags: dict[str, None] = {}
    shapes: dict[str, None] = {}
    for rule in analysis.tag_rules:
        values = [
            _canonical(column, source, lexed, request)
            for column, source in zip(rule.shape.columns, rule.sources, strict=True)
        ]
        known = [value for value in values if value is not None]
        shape = rule.shape if len(known) == len(values) else Shape(rule.shape.relation)
        tags.update(dict.fromkeys(occurrence_tags(shape, known)))
        if shape.columns:
            shapes[shape.id] = None  # a relation as a whole is matched with every change and needs no registration
    return tuple(tags), tuple(shapes)


def _canonical(column: ShapeColumn, source: ValueSource, lexed: Lexed, request: Request) -> bytes | None:
    if isinstance(source, LiteralSource):
        text = lexed.literals[source.index].value
        return None if text is None else canonical_text(column.type_oid, text)
    return _canonical_parameter(column, source, request)


def _canonical_parameter(column: ShapeColumn, source: ParameterSource, request: Request) -> bytes | None:
    if source.index >= len(request.values):
        return None
    value = request.values[source.index]
    if value is None:
        return None
    declared = request.parameter_types[source.index] if source.index < len(request.parameter_types) else 0
    if declared not in source.types:
        return None
    # Undeclared or unknown: Postgres infers the type of the column that it is compared with.
    type_oid = column.type_oid if declared in (_UNDECLARED, _UNKNOWN) else declared
    if request.parameter_format(source.index) != _TEXT_FORMAT:
        return canonical_binary(type_oid, value)
    try:
        return canonical_text(type_oid, value.decode())
    except UnicodeDecodeError:
        return None
