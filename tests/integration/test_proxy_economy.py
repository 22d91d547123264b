"""What does not pay is turned away, and the page /admission says so; what does is cached beside it."""

from collections.abc import Iterator
from urllib.request import urlopen

import pytest

from services.shared.pgwire.frontend import Query
from tests.integration.proxied_postgres import ProxiedPostgres, proxied_postgres
from tests.integration.wire_client import rows

_ONCE = "SELECT name, age FROM people WHERE id = %d"
_OFTEN = "SELECT age, name FROM people WHERE id = %d"
_READS = 2_600  # a template is judged after 1,024 misses


@pytest.fixture(scope="module")
def choosy() -> Iterator[ProxiedPostgres]:
    sql = """
        CREATE TABLE people (id int PRIMARY KEY, name text, age int);
        INSERT INTO people SELECT i, 'person ' || i, 20 + i % 50 FROM generate_series(1, 1000) i;
    """
    with proxied_postgres(sql=sql, environ={"TIDEGATE_ADMISSION": "auto"}) as started:
        yield started


def test_a_template_whose_keys_are_read_once_is_turned_away_and_shown(choosy: ProxiedPostgres) -> None:
    with choosy.wire() as client, choosy.direct_wire() as direct:
        client.turns(*(Query((_ONCE % (1_000_000 + key)).encode()) for key in range(_READS)))
        before = choosy.forwarded("does_not_pay")
        for key in range(320):
            once, often = Query((_ONCE % key).encode()), Query((_OFTEN % (key % 5)).encode())
            assert rows(client.turns(once, often)) == rows(direct.turns(once, often))
    assert 250 < choosy.forwarded("does_not_pay") - before < 320  # a sixteenth is cached all the same
    with urlopen(choosy.stack.metrics_url.replace("/metrics", "/admission"), timeout=5) as page:
        shown = page.read().decode()
    decided = {line.rpartition("  ")[2]: line.split()[0] for line in shown.splitlines() if "select" in line}
    assert decided["select name, age from people where id = {int}"] == "1"  # in 16
    assert decided["select age, name from people where id = {int}"] == "yes"
