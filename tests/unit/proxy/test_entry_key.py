"""The key of an answer: whatever can change the answer changes the key."""

from itertools import combinations

import pytest

from services.proxy.session.entry_key import entry_key
from services.proxy.session.requests import Request
from services.proxy.sql.template import lex

REQUEST = Request(
    text=b"unused",
    parameter_types=(23,),
    parameter_formats=(0,),
    values=(b"7", None),
    result_formats=(),
    row_limit=0,
    described=True,
    parses=True,
    sets_unnamed=True,
    unnamed=None,
    simple=False,
    depends_on_unnamed=False,
)


def key(
    request: Request = REQUEST,
    text: str = "SELECT 1, 'a'",
    fingerprint: str = "f",
    state: bytes = b"s",
    clock: bytes = b"",
) -> bytes:
    return entry_key(request, lex(text), fingerprint, state, clock)


DIFFERENT = {
    "as it is": key(),
    "state": key(state=b"t"),
    "a clock": key(clock=b"c"),
    "another clock": key(clock=b"d"),
    "fingerprint": key(fingerprint="g"),
    "boundary of state and fingerprint": key(state=b"", fingerprint="sf"),
    "literal": key(text="SELECT 1, 'b'"),
    "kind of literal": key(text="SELECT '1', 'a'"),
    "number of literals": key(text="SELECT 1"),
    "boundary of literals": key(text="SELECT 11, 'a'"),
    "template": key(text="SELECT DISTINCT 1, 'a'"),
    "types": key(REQUEST._replace(parameter_types=(20,))),
    "undeclared types": key(REQUEST._replace(parameter_types=())),
    "parameter formats": key(REQUEST._replace(parameter_formats=(1,))),
    "result formats": key(REQUEST._replace(result_formats=(1,))),
    "value": key(REQUEST._replace(values=(b"8", None))),
    "row limit": key(REQUEST._replace(row_limit=1)),
    "NULL and nothing": key(REQUEST._replace(values=(b"7", b""))),
    "NULL and a value that looks like its mark": key(REQUEST._replace(values=(b"7", b"\xff\xff\xff\xff"))),
    "number of values": key(REQUEST._replace(values=(b"7",))),
    "boundary of values": key(REQUEST._replace(values=(b"", b"7"))),
    "order of values": key(REQUEST._replace(values=(None, b"7"))),
}


@pytest.mark.parametrize(("one", "other"), list(combinations(DIFFERENT, 2)))
def test_whatever_changes_the_answer_changes_the_key(one: str, other: str) -> None:
    assert DIFFERENT[one] != DIFFERENT[other]


@pytest.mark.parametrize(
    "same",
    [
        REQUEST._replace(described=False),
        REQUEST._replace(parses=False, sets_unnamed=False, depends_on_unnamed=True),
        REQUEST._replace(simple=True),
        REQUEST._replace(text=b"other text of the same template"),
    ],
)
def test_how_it_is_asked_does_not(same: Request) -> None:
    assert key(same) == key()
