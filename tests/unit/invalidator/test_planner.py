"""What a row change evicts, for each replica identity and each way of not knowing a value."""

import pytest

from schemas.changes import RowChange
from schemas.fields import Row
from services.invalidator.planner import MAX_TAGS_PER_RECORD, MAX_TAGS_PER_SHAPE, Plan, plan_changes, plan_wide
from services.shared.keyspace.intervals import blocks_of
from services.shared.keyspace.order_keys import key_of_row_value
from services.shared.keyspace.tags import entry_tag, shape_tag
from services.shared.relation import Shape, ShapeColumn, relation_tag, value_tag
from tests.unit.invalidator.event_samples import ORDERS, changes, delete, hashed, insert, update

INT4, TEXT, FLOAT8, NUMERIC = 23, 25, 701, 1700
BY_ID = Shape(ORDERS, (ShapeColumn("id", INT4),))
BY_CUSTOMER = Shape(ORDERS, (ShapeColumn("customer", INT4),))
BY_BOTH = Shape(ORDERS, (ShapeColumn("id", INT4), ShapeColumn("customer", INT4)))
BY_NOTE = Shape(ORDERS, (ShapeColumn("note", TEXT),))
BY_WEIGHT = Shape(ORDERS, (ShapeColumn("weight", FLOAT8),))

ALL = relation_tag(ORDERS)


def order(identity: int) -> str:
    return value_tag(BY_ID, [str(identity).encode()])


def customer(number: int) -> str:
    return value_tag(BY_CUSTOMER, [str(number).encode()])


ANY_CUSTOMER = shape_tag(BY_CUSTOMER)


def unknown(shape: Shape) -> set[str]:
    """What a new row evicts whose values are not known: answers that show their keys as well."""
    return {shape_tag(shape), entry_tag(shape)}


@pytest.mark.parametrize(
    ("row", "tags"),
    [
        pytest.param(insert({"id": "1", "customer": "7"}), {order(1), customer(7)}, id="insert"),
        pytest.param(delete({"id": "1", "customer": "7"}), {order(1), customer(7)}, id="delete, full"),
        pytest.param(delete({"id": "1"}), {order(1), ANY_CUSTOMER}, id="delete, key"),
        pytest.param(delete(None), {shape_tag(BY_ID), ANY_CUSTOMER}, id="delete, nothing"),
        pytest.param(
            update({"id": "1", "customer": "8"}, old={"id": "1", "customer": "7"}),
            {order(1), customer(7), customer(8)},
            id="update, full",
        ),
        pytest.param(
            update({"id": "1", "customer": "8"}), {order(1), customer(8), ANY_CUSTOMER}, id="update, key unchanged"
        ),
        pytest.param(
            update({"id": "2", "customer": "8"}, old={"id": "1"}),
            {order(1), order(2), customer(8), ANY_CUSTOMER},
            id="update of the key",
        ),
        pytest.param(insert({"id": "1", "customer": None}), {order(1)}, id="NULL equals nothing"),
        pytest.param(
            update({"id": "1", "customer": None}, old={"id": "1", "customer": "7"}),
            {order(1), customer(7)},
            id="becomes NULL",
        ),
        pytest.param(insert({"id": "1"}), {order(1), *unknown(BY_CUSTOMER)}, id="a column that is not there"),
        pytest.param(insert({"id": "x", "customer": "7"}), {*unknown(BY_ID), customer(7)}, id="no canonical form"),
        pytest.param(delete({"id": "x", "customer": "7"}), {shape_tag(BY_ID), customer(7)}, id="nor had the old row"),
    ],
)
def test_the_row_before_and_the_row_after(row: RowChange, tags: set[str]) -> None:
    plan = plan_changes(changes(row), (BY_ID, BY_CUSTOMER))
    assert set(plan.tags) == {ALL} | tags
    assert not plan.wide


def test_without_shapes_only_the_relation() -> None:
    assert plan_changes(changes(insert({"id": "1"})), ()) == Plan((ALL,))


def test_several_rows_share_tags() -> None:
    rows = [insert({"id": "1", "customer": "7"}), insert({"id": "2", "customer": "7"})]
    plan = plan_changes(changes(*rows), (BY_ID, BY_CUSTOMER))
    assert plan.tags == (ALL, order(1), order(2), customer(7))


class TestShapesOfSeveralColumns:
    def test_are_matched_as_a_whole(self) -> None:
        plan = plan_changes(changes(insert({"id": "1", "customer": "7"})), (BY_BOTH,))
        assert plan.tags == (ALL, value_tag(BY_BOTH, [b"1", b"7"]))

    def test_widen_when_one_of_them_is_unknown(self) -> None:
        plan = plan_changes(changes(delete({"id": "1"})), (BY_BOTH,))
        assert plan.tags == (ALL, shape_tag(BY_BOTH))

    @pytest.mark.parametrize("row", [{"id": None}, {"id": None, "customer": "7"}, {"id": "x", "customer": None}])
    def test_match_nothing_when_one_of_them_is_null(self, row: dict[str, str | None]) -> None:
        assert plan_changes(changes(delete({**row})), (BY_BOTH,)).tags == (ALL,)


class TestLongValues:
    def test_that_did_not_change_are_taken_from_the_old_row(self) -> None:
        row = update({"id": "1", "v": "2"}, old={"id": "1", "v": "1", "note": "long"}, unchanged=("note",))
        assert plan_changes(changes(row), (BY_NOTE,)).tags == (ALL, value_tag(BY_NOTE, [b"long"]))

    def test_that_did_not_change_and_are_nowhere_widen(self) -> None:
        row = update({"id": "1", "v": "2"}, unchanged=("note",))
        assert set(plan_changes(changes(row), (BY_NOTE,)).tags) == {ALL} | unknown(BY_NOTE)

    def test_that_are_hashed_match_by_their_hash(self) -> None:
        plan = plan_changes(changes(insert({"note": hashed(1_000)})), (BY_NOTE,))
        assert plan.tags == (ALL, value_tag(BY_NOTE, [b"sha256:" + b"ab" * 32]))

    def test_that_are_short_and_hidden_widen(self) -> None:
        plan = plan_changes(changes(insert({"note": hashed(5), "id": hashed(5)})), (BY_NOTE, BY_ID))
        assert set(plan.tags) == {ALL} | unknown(BY_NOTE) | unknown(BY_ID)


def test_types_without_a_canonical_form_widen() -> None:
    assert set(plan_changes(changes(insert({"weight": "1.5"})), (BY_WEIGHT,)).tags) == {ALL} | unknown(BY_WEIGHT)


def test_a_table_without_a_key_widens_every_update() -> None:
    plan = plan_changes(changes(update({"id": "1", "v": "2"}), key=()), (BY_ID,))
    assert set(plan.tags) == {ALL, order(1), shape_tag(BY_ID)}


def test_an_update_to_the_same_values_evicts_where_a_generated_column_may_stand() -> None:
    row: Row = {"id": "1", "customer": "7"}
    assert len(plan_changes(changes(update(row, old=row)), (BY_ID, BY_CUSTOMER)).tags) > 1
    watching = Shape(ORDERS, BY_CUSTOMER.columns, ("customer",))
    assert plan_changes(changes(update(row, old=row)), (watching,)).tags == (ALL,)


def test_too_many_tags_of_a_shape_become_the_whole_shape() -> None:
    rows = [insert({"id": str(number), "customer": "7"}) for number in range(MAX_TAGS_PER_SHAPE + 1)]
    plan = plan_changes(changes(*rows), (BY_ID, BY_CUSTOMER))
    assert plan == Plan((ALL, shape_tag(BY_ID), entry_tag(BY_ID), customer(7)))
    assert len(plan_changes(changes(*rows[1:]), (BY_ID,)).tags) == 1 + MAX_TAGS_PER_SHAPE


def test_too_many_tags_become_the_whole_relation() -> None:
    shapes = [Shape(ORDERS, (ShapeColumn("id", INT4), ShapeColumn(f"c{number}", INT4))) for number in range(3)]
    values = {f"c{number}": "7" for number in range(3)}
    rows = [insert({"id": str(number), **values}) for number in range(MAX_TAGS_PER_RECORD // 2)]
    assert plan_changes(changes(*rows), shapes) == plan_wide(ORDERS) == Plan((ALL,), wide=True)


BY_PRICE = Shape(ORDERS, ranged=ShapeColumn("price", NUMERIC))


def priced(price: str) -> set[str]:
    key = key_of_row_value(NUMERIC, price)
    assert key is not None
    return {value_tag(BY_PRICE, (block,)) for block in blocks_of(key)}


@pytest.mark.parametrize(
    ("row", "tags"),
    [
        pytest.param(insert({"id": "1", "price": "9.99"}), priced("9.99"), id="insert"),
        pytest.param(
            update({"id": "1", "price": "5"}, old={"id": "1", "price": "7.00"}),
            priced("5") | priced("7"),
            id="update, full",
        ),
        pytest.param(update({"id": "1", "price": "5"}), priced("5") | {shape_tag(BY_PRICE)}, id="update, old unknown"),
        pytest.param(delete({"id": "1"}), {shape_tag(BY_PRICE)}, id="delete, key"),
        pytest.param(insert({"id": "1", "price": None}), set(), id="NULL is in no range"),
        pytest.param(insert({"id": "1", "price": hashed(4)}), unknown(BY_PRICE), id="hidden"),
    ],
)
def test_a_row_is_in_the_blocks_of_its_value(row: RowChange, tags: set[str]) -> None:
    assert set(plan_changes(changes(row), (BY_PRICE,)).tags) == {ALL} | tags


def test_ranges_can_be_evicted_as_a_whole() -> None:
    row = update({"id": "1", "price": "5"}, old={"id": "1", "price": "7.00"})
    plan = plan_changes(changes(row), (BY_ID, BY_PRICE), ranges_as_a_whole=True)
    assert set(plan.tags) == {ALL, order(1)} | unknown(BY_PRICE)
    untouched = plan_changes(changes(insert({"id": "1", "price": None})), (BY_PRICE,), ranges_as_a_whole=True)
    assert untouched.tags == (ALL,)


WATCHING = Shape(ORDERS, (ShapeColumn("customer", INT4),), ("customer", "note"))
COUNTED = Shape(ORDERS, (), ())


@pytest.mark.parametrize(
    ("row", "watching", "counted"),
    [
        pytest.param(insert({"id": "1", "customer": "7"}), True, True, id="insert"),
        pytest.param(delete({"id": "1", "customer": "7"}), True, True, id="delete"),
        pytest.param(
            update({"id": "1", "customer": "7", "price": "2"}, old={"id": "1", "customer": "7", "price": "1"}),
            False,
            False,
            id="an update of what nobody looks at",
        ),
        pytest.param(
            update({"id": "1", "customer": "7", "note": "b"}, old={"id": "1", "customer": "7", "note": "a"}),
            True,
            False,
            id="an update of what is looked at",
        ),
        pytest.param(update({"id": "1", "customer": "7"}), True, False, id="an update that does not tell"),
    ],
)
def test_an_update_has_to_touch_what_is_watched(row: RowChange, watching: bool, counted: bool) -> None:
    tags = plan_changes(changes(row), [WATCHING, COUNTED]).tags
    assert bool({value_tag(WATCHING, [b"7"]), shape_tag(WATCHING)} & set(tags)) == watching
    assert (shape_tag(COUNTED) in tags) == counted
