"""The elements of arrays, as text and as bytes."""

import pytest

from services.proxy.sql.array_values import array_elements, binary_array


@pytest.mark.parametrize(
    ("text", "elements"),
    [
        ("{}", []),
        (" { } ", []),
        ("{1,2}", ["1", "2"]),
        ("{ 1 , 2 }", ["1", "2"]),
        ('{NULL,null,"null"}', [None, None, "null"]),
        ('{"a b","c,d","e\\"f","g\\\\h",""}', ["a b", "c,d", 'e"f', "g\\h", ""]),
        ("{a b,c}", ["a b", "c"]),
        ("{\u00a0a}", ["\u00a0a"]),  # a no-break space is a part of the element
        ("{{1},{2}}", None),
        ("[0:1]={1,2}", None),
        ("{1,2", None),
        ("{1,}", None),
        ("{,1}", None),
        ('{"a"b}', None),
        ("{a\\b}", None),
        ("{1}2}", None),
        ("1", None),
        ("", None),
    ],
)
def test_text(text: str, elements: list[str | None] | None) -> None:
    assert array_elements(text) == elements


ONE_AND_NULL = bytes.fromhex("00000001 00000001 00000017 00000002 00000001 00000004 00000007 ffffffff")


@pytest.mark.parametrize(
    ("data", "array"),
    [
        (ONE_AND_NULL, (23, [b"\0\0\0\7", None])),
        (bytes.fromhex("00000000 00000000 00000017"), (23, [])),
        (ONE_AND_NULL[:-1], None),
        (ONE_AND_NULL[:-4], None),
        (ONE_AND_NULL + b"\0", None),
        (bytes.fromhex("00000002") + ONE_AND_NULL[4:], None),
        (b"", None),
    ],
)
def test_binary(data: bytes, array: tuple[int, list[bytes | None]] | None) -> None:
    assert binary_array(data) == array
