"""Every client of the ring sees through the proxy what it sees without it, cold and warm, and its reads are hits."""

import contextlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.drivers.clients import CLIENTS, Client
from tests.drivers.matrix import HEADER, RULE, matrix_row
from tests.drivers.program import DriverError, DriverProgram
from tests.drivers.recording import RecordingRelay, first_difference
from tests.drivers.scenarios import APPLICATION_NAME, FUNCTIONS, SCENARIOS, SPOILING, Scenario, row
from tests.integration.proxied_postgres import ProxiedPostgres
from tests.servers.processes import ServerError, wait_until

_DOCUMENTATION = Path(__file__).parents[2] / "docs" / "drivers.md"
_CALLS = 3
_CACHING_SECONDS = 10.0
_COMPLETE_SECONDS = 0.5
_SAME_SECONDS = 2.0
_PLAIN = f"?sslmode=disable&application_name={quote(APPLICATION_NAME)}"
_LAST = (b"Z", b"A")  # ReadyForQuery, or a notification behind it
# With the moment; and Prisma drops a connection after an error, with or without having read what follows it.
_MESSAGES_VARY = ("pool", "cancel", "cancel_by_task", "errors_in_other_words")


class Pair:
    """A client's program twice: before Postgres itself, and before the proxy, each behind a relay that records."""

    def __init__(self, client: Client, proxied: ProxiedPostgres) -> None:
        self.client = client
        scenarios = [scenario for scenario in SCENARIOS if scenario.run not in client.lacks]
        self.harmless = [scenario for scenario in scenarios if scenario.run not in SPOILING]
        self.spoiling = [scenario for scenario in scenarios if scenario.run in SPOILING]
        self.relays = RecordingRelay(proxied.server.port), RecordingRelay(proxied.proxy_port)
        self.direct, self.through = (
            DriverProgram(
                client.command(), f"postgresql://app:app@127.0.0.1:{relay.port}/postgres{_PLAIN}", client.environ
            )
            for relay in self.relays
        )

    def close(self) -> None:
        for ended in (self.direct, self.through, *self.relays):
            ended.close()


@pytest.fixture(scope="module", params=CLIENTS, ids=str)
def pair(request: pytest.FixtureRequest, proxied: ProxiedPostgres) -> Iterator[Pair]:
    """Each client in turn, its programs kept for all of its tests."""
    started = Pair(request.param, proxied)
    yield started
    started.close()


def test_the_program_has_all_functions_but_those_that_it_lacks_for_a_reason(pair: Pair) -> None:
    assert set(pair.client.lacks) == set(FUNCTIONS) - pair.through.functions
    assert pair.through.functions <= set(FUNCTIONS)


def test_its_row_in_the_documentation_tells_this(pair: Pair) -> None:
    lines = _DOCUMENTATION.read_text(encoding="utf-8").splitlines()
    assert lines[lines.index(HEADER) :][:2] == [HEADER, RULE]
    assert matrix_row(pair.client, pair.through) in lines


def test_it_gets_what_it_gets_without_the_proxy_message_by_message(pair: Pair) -> None:
    assert not [difference for scenario in pair.harmless for difference in _differences(pair, scenario)]


def test_its_repeated_reads_are_hits(pair: Pair, proxied: ProxiedPostgres) -> None:
    for scenario in pair.harmless:
        hits = pair.client.fewer_hits.get(scenario.run, scenario.hits)
        if hits:
            _wait_for_hits(pair, scenario, hits, proxied)


def test_it_sees_a_direct_write(pair: Pair, proxied: ProxiedPostgres) -> None:
    for name in ("written directly", "name 8"):
        expected = [row(8, name)]
        read = Scenario("row", "row", (8,), expected)
        proxied.server.execute("UPDATE kinds SET name = %s WHERE id = 8", [name])
        wait_until(partial(_sees, pair, read), "the direct write")
        _wait_for_hits(pair, read, 1, proxied)


def test_it_gets_the_same_also_where_later_reads_are_no_hits(pair: Pair) -> None:
    assert not [difference for scenario in pair.spoiling for difference in _differences(pair, scenario)]


def test_it_connects_with_and_without_a_password_and_not_with_a_wrong_one(pair: Pair, proxied: ProxiedPostgres) -> None:
    assert pair.through.call("connect", proxied.url("app", "app")) == [1]
    assert pair.through.call("connect", proxied.url()) == [1]
    for program, url in (
        (pair.direct, proxied.server.url(user="app", password="wrong")),
        (pair.through, proxied.url("app", "wrong")),
    ):
        with pytest.raises(DriverError, match='password authentication failed for user "app"'):
            program.call("connect", url)


def _sees(pair: Pair, scenario: Scenario) -> bool:
    """Call both programs, so that they stay in step; tell whether the proxy's answer is as expected."""
    _answer(pair.direct, scenario)
    return bool(_answer(pair.through, scenario) == scenario.expected)


def _differences(pair: Pair, scenario: Scenario) -> Iterator[str]:
    """Carry out a scenario several times, cold and warm; tell what differs from what is expected and directly seen."""
    for time in range(_CALLS):
        for relay in pair.relays:
            relay.forget()
        for how, program in (("directly", pair.direct), ("through the proxy", pair.through)):
            seen = _answer(program, scenario)
            if seen != scenario.expected:
                yield f"{scenario.name} {how}, time {time}: {seen!r} instead of {scenario.expected!r}"
        if scenario.run not in _MESSAGES_VARY and (difference := _difference_of_messages(*pair.relays)):
            yield f"{scenario.name}, time {time}: {difference}"


def _difference_of_messages(direct: RecordingRelay, through: RecordingRelay) -> str:
    """Return the first difference; nothing when there is none, or when it goes: the last message may be on its way."""
    for ready, seconds in ((_same_and_complete, _COMPLETE_SECONDS), (_same, _SAME_SECONDS)):
        with contextlib.suppress(ServerError):
            wait_until(partial(ready, direct, through), "the same messages", seconds)
            return ""
    return first_difference(direct.messages(), through.messages())


def _same(direct: RecordingRelay, through: RecordingRelay) -> bool:
    return direct.messages() == through.messages()


def _same_and_complete(direct: RecordingRelay, through: RecordingRelay) -> bool:
    return _same(direct, through) and all(messages[-1][0] in _LAST for messages in direct.messages())


def _answer(program: DriverProgram, scenario: Scenario) -> Any:
    try:
        return program.call(scenario.run, *scenario.arguments)
    except DriverError as error:
        return error.shown


def _wait_for_hits(pair: Pair, scenario: Scenario, hits: int, proxied: ProxiedPostgres) -> None:
    """Repeat a read until all of some calls in a row come from the cache: a late eviction may come between.

    Args:
        pair: The client's programs.
        scenario: The read.
        hits: How many hits each call has to be, at least.
        proxied: Whose metrics tell.
    """
    counted = proxied.hits()

    def all_hits() -> bool:
        nonlocal counted
        before = counted
        for _ in range(_CALLS):
            assert _sees(pair, scenario), scenario.name
        counted = proxied.hits()
        return counted - before >= _CALLS * hits

    what = f"{scenario.name} of {pair.client} to be hits"
    try:
        wait_until(all_hits, what, _CACHING_SECONDS)
    except ServerError as error:
        before = _forwarded(proxied)
        all_hits()
        reasons = {name: count - before.get(name, 0.0) for name, count in _forwarded(proxied).items()}
        raise ServerError(
            f"{error}; forwarded: { ({name: count for name, count in reasons.items() if count}) }"
        ) from None


def _forwarded(proxied: ProxiedPostgres) -> dict[str, float]:
    return proxied.stack.counters("tidegate_proxy_forwarded_total", "reason")
