"""Metrics, health and readiness, as a scraper and an orchestrator see them."""

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import Callable

import pytest
from prometheus_client.parser import text_string_to_metric_families

from services.shared.runtime.telemetry import Telemetry


class _Counts:
    def __init__(self) -> None:
        self.hits = 0
        self.misses = 0


def _get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def _served(telemetry: Telemetry, *paths: str) -> list[tuple[int, str]]:
    async def ask() -> list[tuple[int, str]]:
        server, port = await telemetry.serve("127.0.0.1:0")
        async with server:
            return [await asyncio.to_thread(_get, f"http://127.0.0.1:{port}{path}") for path in paths]

    return asyncio.run(ask())


def _samples(text: str) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *sorted(f"{name}={value}" for name, value in sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_plain_attributes_are_read_at_the_scrape() -> None:
    telemetry = Telemetry("proxy-0")
    shop, orders = _Counts(), _Counts()
    for name, counts in (("shop", shop), ("orders", orders)):
        telemetry.for_cache(name).counts("proxy", counts, {"hits": "Answers from the cache.", "misses": "Others."})
    shop.hits, orders.misses = 3, 4
    ((status, text),) = _served(telemetry, "/metrics")
    samples = _samples(text)
    assert status == 200
    assert samples["tidegate_proxy_hits_total", "cache=shop", "process=proxy-0"] == 3
    assert samples["tidegate_proxy_hits_total", "cache=orders", "process=proxy-0"] == 0
    assert samples["tidegate_proxy_misses_total", "cache=orders", "process=proxy-0"] == 4
    assert text.count("# TYPE tidegate_proxy_hits_total counter") == 1
    assert "process_resident_memory_bytes" in text


def test_gauges_may_be_unknown_and_counters_may_have_a_label() -> None:
    telemetry = Telemetry("proxy-0").for_cache("shop")
    forwarded = {"now() in it": 2}
    age: list[float | None] = [None]
    telemetry.gauge("proxy", "freshness_age_seconds", "Age.", lambda: age[0])
    telemetry.counts_by("proxy", "forwarded", "reason", "Forwarded.", lambda: forwarded)
    unknown, known = _samples(_served(telemetry, "/metrics")[0][1]), {}
    age[0] = 0.5
    forwarded["volatile"] = 1
    known = _samples(_served(telemetry, "/metrics")[0][1])
    labels = ("cache=shop", "process=proxy-0")
    assert ("tidegate_proxy_freshness_age_seconds", *labels) not in unknown
    assert known["tidegate_proxy_freshness_age_seconds", *labels] == 0.5
    assert known["tidegate_proxy_forwarded_total", *labels, "reason=volatile"] == 1
    assert known["tidegate_proxy_forwarded_total", *labels, "reason=now() in it"] == 2


def test_a_histogram_counts_cumulatively() -> None:
    telemetry = Telemetry("cdc").for_cache("shop")
    histogram = telemetry.histogram("cdc", "lag_seconds", "Lag.", bounds=(0.1, 1.0))
    for value in (0.05, 0.1, 0.5, 7.0):
        histogram.observe(value)
    samples = _samples(_served(telemetry, "/metrics")[0][1])
    buckets = [
        samples["tidegate_cdc_lag_seconds_bucket", "cache=shop", f"le={bound}", "process=cdc"]
        for bound in ("0.1", "1.0", "+Inf")
    ]
    assert buckets == [2, 3, 4]
    assert samples["tidegate_cdc_lag_seconds_sum", "cache=shop", "process=cdc"] == pytest.approx(7.65)


@pytest.mark.parametrize(
    ("health", "readiness", "expected"),
    [(None, None, (200, 200)), (None, "no watermark yet", (200, 503)), ("loop is stuck", None, (503, 503))],
)
def test_readiness_includes_health(health: str | None, readiness: str | None, expected: tuple[int, int]) -> None:
    telemetry = Telemetry("proxy-0")
    view = telemetry.for_cache("shop")
    view.health_check("loop", lambda: health)
    view.readiness_check("watermark", lambda: readiness)
    answers = _served(telemetry, "/healthz", "/readyz")
    assert tuple(status for status, _ in answers) == expected
    wrong = json.loads(answers[1][1])["wrong"]
    assert list(wrong.values()) == [reason for reason in (health, readiness) if reason]
    assert all(name.startswith("shop/") for name in wrong)


def test_other_paths_and_methods_are_refused() -> None:
    (missing, (status, _)) = _served(Telemetry("p"), "/nope", "/metrics?name=x")
    assert missing == (404, "there are /metrics, /healthz, /readyz\n")
    assert status == 200


@pytest.mark.parametrize("sent", [b"", b"garbage\r\n\r\n", b"POST /metrics HTTP/1.1\r\n\r\n", b"x" * 100_000])
def test_garbage_costs_nothing(sent: bytes) -> None:
    async def ask() -> bytes:
        server, port = await Telemetry("p").serve("127.0.0.1:0")
        async with server:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(sent)
            writer.write_eof()
            answer = await _read_to_the_end(reader)
            writer.close()
            return answer

    answer = asyncio.run(ask())
    assert answer == b"" or answer.startswith(b"HTTP/1.1 405")


async def _read_to_the_end(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""


def test_a_taken_port_is_an_os_error() -> None:
    async def twice(make: Callable[[], Telemetry]) -> None:
        server, port = await make().serve("127.0.0.1:0")
        async with server:
            with pytest.raises(OSError, match="address"):
                await make().serve(f"127.0.0.1:{port}")

    asyncio.run(twice(lambda: Telemetry("p")))
