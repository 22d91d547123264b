"""How many clients there may be, and who counts as one."""

import resource
import subprocess
import sys

from pydantic import SecretStr
from structlog.testing import capture_logs

from services.proxy.arrival.client_count import ClientCount
from services.proxy.statistics import ProxyStatistics
from services.proxy.worker.descriptors import client_limits
from services.shared.runtime.settings import CacheSettings


def _count(limit: int) -> tuple[ClientCount, ProxyStatistics]:
    statistics = ProxyStatistics()
    return ClientCount(statistics, limit), statistics


def test_there_is_room_for_as_many_as_the_limit_says() -> None:
    count, statistics = _count(2)
    for _ in range(3):
        count.arrive()

    assert [count.become_client() for _ in range(3)] == [True, True, False]
    assert statistics.clients_refused == 1

    count.leave()  # the one that was refused
    statistics.sessions -= 1  # a session ended
    count.arrive()
    assert count.become_client()


def test_who_has_not_said_what_he_wants_takes_no_room() -> None:
    count, statistics = _count(1)
    count.arrive()  # a cancel request, say
    count.arrive()

    assert count.become_client()
    assert statistics.sessions == 2
    assert count.starting == 1


def test_connections_that_say_nothing_are_bounded_too() -> None:
    count, _ = _count(2)

    assert [count.arrive() for _ in range(3)] == [True, True, False]
    count.leave()
    count.leave()
    assert count.arrive()


def _cache(name: str, max_clients: int) -> CacheSettings:
    return CacheSettings(name=name, database_url=SecretStr("postgresql://a@b/c"), max_clients=max_clients)


def test_with_enough_open_files_every_cache_has_what_it_wants() -> None:
    with capture_logs() as logs:
        assert client_limits({"a": _cache("a", 100), "b": _cache("b", 50)}, 556) == {"a": 100, "b": 50}
    assert logs == []


def test_with_too_few_they_share_and_the_log_names_the_number_that_is_needed() -> None:
    with capture_logs() as logs:
        assert client_limits({"a": _cache("a", 100), "b": _cache("b", 50)}, 406) == {"a": 50, "b": 25}
    (log,) = logs
    assert log["log_level"] == "warning"
    assert (log["open_files"], log["needed"], log["let_in"]) == (406, 556, 75)
    assert "556" in log["advice"]
    with capture_logs():
        assert client_limits({"a": _cache("a", 100)}, 10) == {"a": 1}


def test_the_soft_limit_on_open_files_is_raised_to_the_hard_one() -> None:
    program = (
        "import resource; from services.proxy.worker.descriptors import raise_open_files;"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (200, 300)); print(raise_open_files());"
        "print(resource.getrlimit(resource.RLIMIT_NOFILE))"
    )
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[1] >= 300
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert told.stdout.splitlines() == ["300", "(300, 300)"]
