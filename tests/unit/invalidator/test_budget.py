"""How many tags a relation may evict in a second."""

from services.invalidator.budget import TagBudget


def test_is_counted_by_relation_and_second() -> None:
    budget = TagBudget(tags_per_second=10)
    assert budget.spend(1, 6, now=5.0)
    assert budget.spend(2, 10, now=5.1)
    assert not budget.spend(1, 5, now=5.9)
    assert budget.spend(1, 10, now=6.0)
    assert not budget.spend(1, 1, now=6.5)


def test_what_is_spent_is_known_before_a_tag_is_found() -> None:
    budget = TagBudget(tags_per_second=10)
    assert not budget.is_spent(1, now=5.0)
    budget.spend(1, 10, now=5.0)
    assert budget.is_spent(1, now=5.9)
    assert not budget.spend(1, 1, now=5.9)
    assert not budget.is_spent(2, now=5.9)
    assert not budget.is_spent(1, now=6.0)


def test_half_of_it_is_spent_before_all_is() -> None:
    budget = TagBudget(tags_per_second=10)
    budget.spend(1, 4, now=5.0)
    assert not budget.is_half_spent(1, now=5.5)
    budget.spend(1, 1, now=5.5)
    assert budget.is_half_spent(1, now=5.9)
    assert not budget.is_half_spent(2, now=5.9)
    assert not budget.is_half_spent(1, now=6.0)
