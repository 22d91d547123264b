"""Merging the metrics of several processes."""

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.parser import text_string_to_metric_families

from services.standalone.exposition import merge


def _text_of_a_proxy(hits: int) -> str:
    registry = CollectorRegistry()
    Counter("tidegate_hits", "Answers from the cache.", ["cache", "process"], registry=registry).labels(
        "default", "proxy"
    ).inc(hits)
    Histogram("tidegate_seconds", "How long.", buckets=(0.1, 1.0), registry=registry).observe(0.5)
    return generate_latest(registry).decode()


def _samples(merged: bytes, name: str) -> dict[str, float]:
    return {
        sample.labels["process"]: sample.value
        for family in text_string_to_metric_families(merged.decode())
        for sample in family.samples
        if sample.name == name
    }


def test_the_same_counter_of_two_processes_stays_two_and_is_one_family() -> None:
    merged = merge({"proxy-0": _text_of_a_proxy(3), "proxy-1": _text_of_a_proxy(5)}, [])

    assert _samples(merged, "tidegate_hits_total") == {"proxy-0": 3.0, "proxy-1": 5.0}
    assert merged.decode().count("# TYPE tidegate_hits_total counter") == 1


def test_histograms_keep_their_buckets() -> None:
    merged = merge({"proxy-0": _text_of_a_proxy(1)}, [])

    assert _samples(merged, "tidegate_seconds_count") == {"proxy-0": 1.0}
    assert 'le="+Inf"' in merged.decode()


def test_what_is_no_prometheus_text_is_left_out_and_the_rest_is_kept() -> None:
    merged = merge({"cdc": "not { prometheus\n", "proxy-0": _text_of_a_proxy(1)}, [])

    assert _samples(merged, "tidegate_hits_total") == {"proxy-0": 1.0}


def test_families_of_the_supervisor_stand_beside_them() -> None:
    running = GaugeMetricFamily("tidegate_process_running", "1 while it runs.", labels=["process"])
    running.add_metric(["cdc"], 1.0)

    assert _samples(merge({}, [running]), "tidegate_process_running") == {"cdc": 1.0}
