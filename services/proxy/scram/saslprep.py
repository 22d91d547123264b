"""Passwords made ready for hashing, as Postgres does it: SASLprep (RFC 4013) where it applies, else as they are.

Postgres is more lenient than the RFC (saslprep.c): what is ASCII stays as it is, and so does what is not UTF-8 or holds
what the RFC forbids. It also looks for forbidden characters and for the direction of writing *before* it normalises,
and so do we: the result has to be its result, or the right password is a wrong one. Pure.
"""

import stringprep
import unicodedata
from collections.abc import Callable
from typing import Final

_FORBIDDEN: Final[tuple[Callable[[str], bool], ...]] = (
    stringprep.in_table_a1,  # not assigned in Unicode 3.2
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
)


def prepare_password(password: bytes) -> bytes:
    """Return what is hashed in place of a password."""
    if password.isascii():
        return password
    try:
        text = password.decode()
    except UnicodeDecodeError:
        return password  # another encoding
    mapped = "".join(_mapped(character) for character in text)
    if not mapped or any(is_in_table(character) for character in mapped for is_in_table in _FORBIDDEN):
        return password
    if not _is_of_one_direction(mapped):
        return password
    return unicodedata.normalize("NFKC", mapped).encode()


def _mapped(character: str) -> str:
    """RFC 4013 section 2.1: any space is a space, and what is commonly mapped to nothing is nothing."""
    if stringprep.in_table_c12(character):
        return " "
    return "" if stringprep.in_table_b1(character) else character


def _is_of_one_direction(text: str) -> bool:
    """RFC 3454 section 6: what is written from right to left begins and ends so, and holds nothing else."""
    if not any(map(stringprep.in_table_d1, text)):
        return True
    ends = stringprep.in_table_d1(text[0]) and stringprep.in_table_d1(text[-1])
    return ends and not any(map(stringprep.in_table_d2, text))
