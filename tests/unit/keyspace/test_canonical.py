"""Canonical forms, case by case; the law that they obey is tested against Postgres in tests/property."""

from hashlib import sha256

import pytest

from services.shared.keyspace.canonical import LONGEST_TEXT, TypeOid, canonical_binary, canonical_hashed, canonical_text

UUID = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"


@pytest.mark.parametrize(
    ("type_oid", "spellings", "form"),
    [
        (TypeOid.INT4, ["7", "+7", " 7", "007", "7\n"], b"7"),
        (TypeOid.INT8, ["-120", "-0120"], b"-12e1"),
        (TypeOid.INT2, ["0", "-0", "+00"], b"0"),
        (TypeOid.NUMERIC, ["7", "7.", "7.00", "+07.0", "70e-1", ".7E1", "0.7e+1"], b"7"),
        (TypeOid.NUMERIC, ["-120", "-1.2e2", "-120.000"], b"-12e1"),
        (TypeOid.NUMERIC, ["0.05", "5e-2", ".05000"], b"5e-2"),
        (TypeOid.NUMERIC, ["0", "-0.00", "0e5"], b"0"),
        (TypeOid.NUMERIC, ["NaN", "nan", " NAN "], b"NaN"),
        (TypeOid.NUMERIC, ["inf", "+Infinity"], b"Infinity"),
        (TypeOid.NUMERIC, ["-INF", "-infinity"], b"-Infinity"),
        (TypeOid.BOOL, ["t", "TRUE", " yes", "on", "1"], b"t"),
        (TypeOid.BOOL, ["f", "False", "no", "off", "0"], b"f"),
        (TypeOid.UUID, [UUID, UUID.upper(), f"{{{UUID}}}", UUID.replace("-", "")], UUID.replace("-", "").encode()),
        (TypeOid.TEXT, ["a b ", "a b "], b"a b "),
        (TypeOid.VARCHAR, ["žluť"], "žluť".encode()),
        (TypeOid.DATE, ["2024-02-29", " 2024-02-29"], b"2024-02-29"),
    ],
)
def test_equal_spellings_have_one_form(type_oid: int, spellings: list[str], form: bytes) -> None:
    assert {canonical_text(type_oid, spelling) for spelling in spellings} == {form}


@pytest.mark.parametrize(
    ("type_oid", "text"),
    [
        (TypeOid.INT4, "0x10"),
        (TypeOid.INT4, "1_000"),
        (TypeOid.INT4, "7.0"),
        (TypeOid.INT4, ""),
        (TypeOid.INT4, "٧"),  # a digit to Python, not to Postgres
        (TypeOid.INT4, "\u00a07"),
        (TypeOid.NUMERIC, "1e9999999"),
        (TypeOid.NUMERIC, "."),
        (TypeOid.NUMERIC, "0x1F"),
        (TypeOid.BOOL, "o"),
        (TypeOid.UUID, UUID[:-1]),
        (TypeOid.UUID, f" {UUID}"),
        (TypeOid.DATE, "today"),
        (TypeOid.DATE, "01/02/2024"),
        (TypeOid.DATE, "0044-03-15 BC"),
        (TypeOid.TEXT, "\udcff"),
        (701, "1"),  # float8
        (1042, "a"),  # char(n): trailing blanks do not count
        (16_500, "a"),  # a domain
    ],
)
def test_what_is_not_understood_has_no_form(type_oid: int, text: str) -> None:
    assert canonical_text(type_oid, text) is None


def test_long_texts_stand_as_their_hash_on_both_sides() -> None:
    text = "é" * LONGEST_TEXT
    digest = sha256(text.encode()).hexdigest()
    forms = {
        canonical_text(TypeOid.TEXT, text),
        canonical_binary(TypeOid.VARCHAR, text.encode()),
        canonical_hashed(TypeOid.TEXT, len(text.encode()), digest),
    }
    assert forms == {b"sha256:" + digest.encode()}


def test_a_text_of_just_the_longest_length_stands_for_itself() -> None:
    assert canonical_text(TypeOid.TEXT, "a" * LONGEST_TEXT) == b"a" * LONGEST_TEXT


def test_a_hash_tells_nothing_of_short_texts_and_other_types() -> None:
    digest = sha256(b"x").hexdigest()
    assert canonical_hashed(TypeOid.TEXT, LONGEST_TEXT, digest) is None
    assert canonical_hashed(TypeOid.NUMERIC, 1_000, digest) is None


@pytest.mark.parametrize(
    ("type_oid", "data"),
    [
        (TypeOid.INT4, b"\0\0\0"),
        (TypeOid.UUID, b"\0" * 15),
        (TypeOid.BOOL, b""),
        (TypeOid.DATE, b"\0"),
        (TypeOid.DATE, (-1_000_000).to_bytes(4, "big", signed=True)),  # before Christ
        (TypeOid.TEXT, b"\xff"),
        (TypeOid.NUMERIC, b"\0" * 7),
        (TypeOid.NUMERIC, bytes.fromhex("0001 0000 0000 0000")),  # a digit is missing
        (TypeOid.NUMERIC, bytes.fromhex("0001 0000 1234 0000 0001")),  # no such sign
        (TypeOid.NUMERIC, bytes.fromhex("0001 0000 0000 0000 2710")),  # 10000 is no digit
        (TypeOid.NUMERIC, bytes.fromhex("0002 0000 0000 0000 0001 1388")),  # 1.5 at scale 0, which Postgres cuts to 1
        (701, b"\0" * 8),
    ],
)
def test_malformed_binary_has_no_form(type_oid: int, data: bytes) -> None:
    assert canonical_binary(type_oid, data) is None
