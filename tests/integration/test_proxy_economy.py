"""What does not pay is turned away, and the page /admission says so; what does is cached beside it.

Where few answers are read again, they are kept when they are asked for a second time.
"""

import itertools
from collections.abc import Iterator
from functools import partial
from urllib.request import urlopen

import pytest

from services.shared.pgwire.frontend import Query
from tests.integration.proxied_postgres import ProxiedPostgres, proxied_postgres
from tests.integration.wire_client import rows
from tests.servers.processes import wait_until

_ONCE = "SELECT name, age FROM people WHERE id = %d"
_OFTEN = "SELECT age, name FROM people WHERE id = %d"
_JUDGING_SECONDS = 60.0  # 900 answers fill the memory, and 32 have to go
_READS = 2_600  # a template is judged after 1,024 misses


@pytest.fixture(scope="module")
def choosy() -> Iterator[ProxiedPostgres]:
    sql = """
        CREATE TABLE people (id int PRIMARY KEY, name text, age int, note text);
        INSERT INTO people SELECT i, 'person ' || i, 20 + i % 50, 'note ' || i FROM generate_series(1, 1000) i;
    """
    with proxied_postgres(sql=sql, environ={"TIDEGATE_ADMISSION": "auto", "TIDEGATE_L1_BYTES": "1MiB"}) as started:
        yield started


def shown(proxied: ProxiedPostgres) -> dict[str, str]:
    """Return what the page says of each template: whose answers are kept."""
    with urlopen(proxied.stack.metrics_url.replace("/metrics", "/admission"), timeout=5) as page:
        lines = page.read().decode().splitlines()
    return {line.rpartition("  ")[2]: line.lstrip().partition("  ")[0] for line in lines if "select" in line}


def test_a_template_whose_keys_are_read_once_is_turned_away_and_shown(choosy: ProxiedPostgres) -> None:
    with choosy.wire() as client, choosy.direct_wire() as direct:
        client.turns(*(Query((_ONCE % (1_000_000 + key)).encode()) for key in range(_READS)))
        before = choosy.forwarded("does_not_pay")
        for key in range(320):
            once, often = Query((_ONCE % key).encode()), Query((_OFTEN % (key % 5)).encode())
            assert rows(client.turns(once, often)) == rows(direct.turns(once, often))
    assert 250 < choosy.forwarded("does_not_pay") - before < 320  # a sixteenth is cached all the same
    decided = shown(choosy)
    assert decided["select name, age from people where id = {int}"] == "1 in 16"
    assert decided["select age, name from people where id = {int}"] == "yes"


def test_where_most_is_asked_for_once_it_is_kept_when_it_is_asked_for_again(choosy: ProxiedPostgres) -> None:
    often, template = "SELECT note FROM people WHERE id = %d", "select note from people where id = {int}"
    unknown = itertools.count(10_000)

    def ask() -> bool:
        """Ask for one row that nobody asks for again in each five of a few that are asked for all the time."""
        for _ in range(50):
            keys = [next(unknown), *range(5)]
            client.turns(*(Query((often % key).encode()) for key in keys))
        return shown(choosy)[template] == "2nd sight"

    with choosy.wire() as client, choosy.direct_wire() as direct:
        wait_until(ask, "the first sight not to pay", _JUDGING_SECONDS)
        before, kept = choosy.forwarded("first_sight"), 0
        for key in range(100, 400):
            again = [Query((often % key).encode())]
            for _ in range(2):
                assert rows(client.turns(*again)) == rows(direct.turns(*again))
            kept += choosy.is_hit(partial(client.turns, *again))
    assert choosy.forwarded("first_sight") - before > 200  # a sixteenth is kept at first sight
    assert kept > 200
    assert choosy.stack.counter("tidegate_proxy_busy_ratio") > 0.0
