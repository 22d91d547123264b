"""What is said of evictions."""

from benchmarks.precision_tally import PrecisionTally, Template, precision_json, precision_table
from benchmarks.shop.reads import BY_KEY, CLASSES, DASHBOARD

_PRODUCT, _LOW_STOCK = Template("product", BY_KEY), Template("low stock", DASHBOARD)


def tallied() -> PrecisionTally:
    tally = PrecisionTally()
    tally.by_tags.hits, tally.by_tags.misses = 3, 1
    for changed in (True, True, False):
        tally.by_tags.evict(_PRODUCT, changed=changed)
    tally.in_vain["product", "restock"] += 1
    tally.by_tags.evict(_LOW_STOCK, changed=False)
    for _ in range(8):
        tally.by_tables.evict(_PRODUCT, changed=False)
    return tally


def test_a_class_is_told_by_itself() -> None:
    tally = tallied()
    assert tally.by_tags.of([BY_KEY]).precision == 2 / 3
    assert tally.by_tags.of([DASHBOARD]).precision == 0
    assert tally.by_tables.of([DASHBOARD]).precision is None
    assert tally.by_tags.of(CLASSES).count == 4
    assert tally.by_tags.hit_ratio == 0.75


def test_what_was_evicted_in_vain_is_named_with_what_was_written() -> None:
    assert tallied().causes([BY_KEY]) == "product by restock 1"
    assert tallied().causes([DASHBOARD]) == ""


def test_the_table_and_the_json_say_it_all() -> None:
    table = precision_table({"FULL": tallied()})
    assert "| by primary key | FULL | 8 | 0.0% | 3 | 66.7% | product by restock 1 |" in table
    assert "| join | FULL | 0 | - | 0 | - |  |" in table
    told = precision_json({"FULL": tallied()})["FULL"]
    assert told["equality_precision"] == 2 / 3
    assert told["templates"][0]["evicted_by_tags"] == {"count": 3, "necessary": 2}
    assert told["templates"][0]["in_vain_by_write"] == {"restock": 1}
