"""Analyses are made once per template, kept within bounds, and forgotten with the catalog."""

import pytest

from services.proxy.session import templates as module
from services.proxy.session.templates import Templates
from services.proxy.sql.verdict import NameSpace
from tests.unit.sql.small_catalog import USERS, small_catalog

PUBLIC = NameSpace(("pg_catalog", "public"))


def with_catalog() -> Templates:
    templates = Templates()
    templates.use(small_catalog())
    return templates


def test_without_a_catalog_nothing_is_analysed() -> None:
    assert Templates().find(b"SELECT 1", PUBLIC) is None


def test_a_text_is_analysed_once_and_a_template_too() -> None:
    templates = with_catalog()
    one = templates.find(b"SELECT name FROM users WHERE id = 1", PUBLIC)
    two = templates.find(b"SELECT name FROM users WHERE id = 2", PUBLIC)
    assert one is not None
    assert two is not None
    assert templates.find(b"SELECT name FROM users WHERE id = 1", PUBLIC) is one
    assert two.analysis is one.analysis
    assert two.economy is one.economy
    assert two.lexed.literals != one.lexed.literals


def test_the_kind_of_a_literal_and_the_name_space_belong_to_the_template() -> None:
    templates = with_catalog()
    texts = [b"SELECT name FROM users LIMIT 5", b"SELECT name FROM users LIMIT '5'"]
    found = [templates.find(text, PUBLIC) for text in texts]
    found.append(templates.find(texts[0], NameSpace(("pg_catalog", "other", "public"))))
    assert len({id(template.analysis) for template in found if template is not None}) == 3


def test_a_new_catalog_forgets_the_analyses_that_it_touches() -> None:
    templates = with_catalog()
    of_users, of_items = b"SELECT name FROM users WHERE id = 1", b"SELECT sku FROM items WHERE line = 1"
    before = templates.find(of_users, PUBLIC), templates.find(of_items, PUBLIC)
    parts = {**small_catalog().relation_parts, USERS.oid: "changed"}
    templates.use(small_catalog(relation_parts=parts))
    after = templates.find(of_users, PUBLIC), templates.find(of_items, PUBLIC)
    assert before[0] is not None
    assert after[0] is not None
    assert before[0].analysis.fingerprint != after[0].analysis.fingerprint
    assert after[1] is before[1]
    assert templates.number == 2


def test_texts_whose_template_had_to_go_are_forgotten_with_a_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_TEMPLATES", 1)
    templates = with_catalog()
    of_users = templates.find(b"SELECT name FROM users WHERE id = 1", PUBLIC)
    templates.find(b"SELECT sku FROM items WHERE line = 1", PUBLIC)
    parts = {**small_catalog().relation_parts, USERS.oid: "changed"}
    templates.use(small_catalog(relation_parts=parts))
    again = templates.find(b"SELECT name FROM users WHERE id = 1", PUBLIC)
    assert of_users is not None
    assert again is not None
    assert again.analysis.fingerprint != of_users.analysis.fingerprint


def test_what_is_not_text_or_too_long_is_not_cacheable() -> None:
    templates = with_catalog()
    unreadable = templates.find(b"SELECT '\xff'", PUBLIC)
    assert unreadable is not None
    assert not unreadable.analysis.cacheable
    assert unreadable.analysis.effect.writes is None
    assert templates.find(b"SELECT 1" + b" " * 65_536, PUBLIC) is None


def test_what_is_remembered_is_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists of values, each other than all before: their literals cost a multiple of their text."""
    monkeypatch.setattr(module, "_TEXTS_BYTES", 4_000_000)
    templates = with_catalog()
    for number in range(60):
        values = ", ".join(str(number * 1_000 + value) for value in range(1_000))
        templates.find(f"SELECT name FROM users WHERE id IN ({values})".encode(), PUBLIC)
    remembered = sum(module._cost(text, template) for (text, _), template in templates._by_text.items())
    assert templates._texts_bytes == remembered <= module._TEXTS_BYTES
    assert 10 < len(templates._by_text) < 60
    assert len(templates._by_template) == 1
    templates.use(small_catalog(global_part="another"))
    assert templates._texts_bytes == 0
