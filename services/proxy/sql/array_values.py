"""The elements of a one-dimensional array value, in Postgres's text and binary formats. Pure."""

import re
from collections.abc import Iterator
from struct import Struct, error

_SPACE = " \t\n\r\v\f"  # what Postgres skips around elements: a no-break space belongs to one
_ELEMENT = re.compile(
    r'\s*(?:"((?:[^"\\]|\\.)*)"|([^",{}\\\s]+(?:[ \t]+[^",{}\\\s]+)*))\s*([,}])', re.DOTALL | re.ASCII
)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_HEAD, _DIMENSION, _LENGTH = Struct(">iiI"), Struct(">ii"), Struct(">i")
_NULL_LENGTH = -1


def array_elements(text: str) -> list[str | None] | None:
    """Return the elements of `{1,2,NULL,"a b"}`; None where the text is anything but a plain array.

    Args:
        text: What the input function of an array type would be given.
    """
    body = text.strip(_SPACE)
    if not body.startswith("{") or not body.endswith("}"):
        return None
    if body[1:-1].strip(_SPACE) == "":
        return []
    elements: list[str | None] = []
    place = 1
    while place < len(body):
        found = _ELEMENT.match(body, place)
        if found is None:
            return None
        quoted, bare, after = found.groups()
        if quoted is not None:
            elements.append(_ESCAPED.sub(r"\1", quoted))
        else:
            elements.append(None if bare.lower() == "null" else bare)
        place = found.end()
        if after == "}":
            return elements if place == len(body) else None
    return None


def binary_array(data: bytes) -> tuple[int, list[bytes | None]] | None:
    """Return the element type's OID and the elements of an array in binary format; None where it is not plain."""
    try:
        dimensions, _, element_oid = _HEAD.unpack_from(data)
        if dimensions == 0:
            return element_oid, []
        count, _ = _DIMENSION.unpack_from(data, _HEAD.size)
        elements = list(_read(data, _HEAD.size + _DIMENSION.size))
    except (error, ValueError):
        return None
    return (element_oid, elements) if dimensions == 1 and len(elements) == count else None


def _read(data: bytes, place: int) -> Iterator[bytes | None]:
    while place < len(data):
        (length,) = _LENGTH.unpack_from(data, place)
        place += _LENGTH.size
        if length == _NULL_LENGTH:
            yield None
            continue
        if length < 0 or place + length > len(data):
            raise ValueError("an element is cut off")
        yield data[place : place + length]
        place += length
