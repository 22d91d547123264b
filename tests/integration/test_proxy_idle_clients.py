"""Hundreds of idle clients cost the proxy next to nothing, whatever they did before, and all of them still work."""

import pytest

from benchmarks.idle import KINDS, UNDER_TLS, measure_kind
from tests.integration.proxied_postgres import proxied_postgres

_CLIENTS = 200
_KIB = 1024


@pytest.mark.parametrize(
    ("kind", "most_bytes"),  # it is 4 and 27 KiB; memory is taken from the system 256 KiB at a time
    [("connected", 6 * _KIB), ("after a statement of 100 KB", 6 * _KIB), (UNDER_TLS, 36 * _KIB)],
)
def test_idle_clients_cost_little_and_still_work(kind: str, most_bytes: int) -> None:
    sql = "CREATE TABLE things (id int PRIMARY KEY, name text); INSERT INTO things VALUES (1, 'one')"
    with proxied_postgres(sql=sql, max_connections=_CLIENTS + 70) as proxied:
        cost = measure_kind(proxied.stack, kind, _CLIENTS, KINDS[kind])

    assert cost.answered == _CLIENTS
    assert cost.bytes_each < most_bytes
