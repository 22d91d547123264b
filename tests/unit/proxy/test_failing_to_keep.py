"""An answer that cannot be kept costs speed, and neither the client's connection nor those who wait for the answer."""

from collections import Counter
from types import SimpleNamespace
from typing import Any, cast

from services.proxy.cache.entry import Answer
from services.proxy.cache.flights import Flights
from services.proxy.cached_database import CachedDatabase
from services.proxy.session.lookup import Lookup
from services.proxy.session.miss import Miss
from services.proxy.session.own_writes import OwnWrites
from services.proxy.session.recorder import Recorder
from services.shared.pgwire.rows import CommandComplete, DataRow


class _KeepsNothing:
    """Of a cached database what the end of a miss needs; it fails at keeping."""

    def __init__(self) -> None:
        self.statistics = SimpleNamespace(refused=Counter[str]())
        self.freshness = SimpleNamespace()

    def keep(self, *_: object) -> None:
        raise ValueError("an entry with too much of everything")


def test_a_failure_to_keep_an_answer_is_counted_and_goes_no_further() -> None:
    recorder = Recorder(1_000)
    row, complete = DataRow((b"7",)).encode(), CommandComplete("SELECT 1").encode()
    recorder.bulk(row[0], row, 0, len(row))
    recorder.message(complete[0], complete, 0, len(complete))
    shared: list[Answer | None] = []
    plan: Any = SimpleNamespace(request=SimpleNamespace(described=False), lifetime=0.0)
    flights = Flights()
    flight = flights.start((1, b"key"), 0.0)
    assert flight is not None
    flight.join(shared.append)
    values = {"plan": plan, "q0": (), "recorder": recorder, "flight": flight, "flights": flights}
    fields: dict[str, Any] = {name: values.get(name) for name in Miss.__dataclass_fields__}
    database = _KeepsNothing()

    Lookup(cast(CachedDatabase, database), OwnWrites(counted=False)).end_miss(Miss(**fields), failed=False)

    assert shared == [Answer(b"", row, complete)]
    assert database.statistics.refused == {"keeping_failed": 1}
