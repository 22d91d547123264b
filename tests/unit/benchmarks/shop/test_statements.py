"""The same statement in both ways of sending it."""

from benchmarks.shop.statements import statement


def test_numbers_stay_numbers_and_texts_are_quoted() -> None:
    made = statement("UPDATE t SET a = $2, b = $1 WHERE c = $2 /* $3 is none */", "it's", -5, "x")
    assert made.values == ("it's", "-5", "x")
    assert made.inlined() == "UPDATE t SET a = -5, b = 'it''s' WHERE c = -5 /* 'x' is none */"


def test_the_tenth_parameter_is_not_the_first() -> None:
    assert statement("$1 $10", *range(1, 11)).inlined() == "1 10"
