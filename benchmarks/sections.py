"""Measurements that are no comparison of sides: each as a table, with the command that makes it again."""

import datetime as dt
import json
from argparse import Namespace
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.audit import measure_audit
from benchmarks.evictions import measure_evictions
from benchmarks.idle import measure_idle
from benchmarks.precision import PrecisionRun, measure_precision
from benchmarks.precision_tally import precision_json, precision_table
from benchmarks.profiles import measure_profiles
from benchmarks.replacement.measure import replacement_table
from benchmarks.shop.measure import ShopRun, measure_shop
from benchmarks.shop.tables import shop_json, shop_tables
from benchmarks.stream import SINGLE, Size, StreamResults, measure_stream
from benchmarks.stream_services import SERVICES

_ROUND_SECONDS, _SHOP_SECONDS = 4, 20
_AUDIT_CLIENTS = 8
_REPLACEMENT_READS = 60_000  # at least: fewer do not fill a cache


def _audit(clients: int, rounds: int, seconds: int) -> str:
    lines = [
        f"`python -m benchmarks audit --rounds {rounds} --seconds {seconds}` ({dt.datetime.now(dt.UTC):%Y-%m-%d}): "
        f"hits of {clients} clients through proxies that differ in `audit_rate` alone, interleaved; ratios of "
        "processor time within a round.",
        "",
        "| pgbench -M | audit_rate | the worker's processor time for a read, µs | with / without, median (quartiles) "
        "| samples a second | a sample costs, µs | of the time in the auditor itself | violations |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for cost in measure_audit(clients, rounds, seconds):
        low, high = cost.spread
        sample = "" if cost.sample_microseconds is None else f"{cost.sample_microseconds:,.0f}"
        lines.append(
            f"| {cost.mode} | {cost.rate:g} | {cost.microseconds:.2f} | {cost.ratio:.3f} ({low:.3f} to {high:.3f}) "
            f"| {cost.samples:.1f} | {sample} | {cost.worker_share:.3%} | {cost.violations:.0f} |"
        )
    return "\n".join(lines)


def _evictions(writes: int) -> str:
    lines = [
        f"`python -m benchmarks evictions --writes {writes}` ({dt.datetime.now(dt.UTC):%Y-%m-%d}): "
        "milliseconds from a commit made directly in Postgres to the read through the proxy that shows it.",
        "",
        "| event log | writes | p50 ms | p99 ms | reads still served with the old value meanwhile |",
        "|---|---|---|---|---|",
    ]
    for event_log in ("redis", "kafka"):
        seen = measure_evictions(event_log, writes)
        lines.append(f"| {event_log} | {seen.writes} | {seen.p50:.2f} | {seen.p99:.2f} | {seen.from_cache:.0%} |")
    return "\n".join(lines)


def _idle(clients: int) -> str:
    lines = [
        f"`python -m benchmarks idle --idle-clients {clients}` ({dt.datetime.now(dt.UTC):%Y-%m-%d}): idle clients of "
        "one worker, each with its connection to Postgres; growth of the worker's resident memory for each of them.",
        "",
        "| idle | clients | KiB each | worker in all, MiB | answered rightly afterwards |",
        "|---|---|---|---|---|",
    ]
    for cost in measure_idle(clients):
        lines.append(
            f"| {cost.kind} | {cost.clients:,} | {cost.bytes_each / 1024:.1f} | {cost.worker_bytes / 1024**2:.0f} "
            f"| {cost.answered:,} |"
        )
    return "\n".join(lines)


def _stream(size: Size, profile: Path | None) -> str:
    results = measure_stream(size, profile)
    command = (
        f"`python -m benchmarks stream --rounds {size.rounds} --changes {size.changes} "
        f"--transactions {size.transactions} --seconds {size.latency_seconds:g}`"
    )
    lines = [
        f"{command} ({dt.datetime.now(dt.UTC):%Y-%m-%d}): row changes a second of a backlog, interleaved, medians. "
        f"Other things had {results.others:.0%} of the machine's processors meanwhile.",
        "",
        "| transactions | rows changed | pg_recvlogical | decoded | decoded / pg_recvlogical "
        "| through Kafka to evicted | peak memory, MiB: CDC, invalidator |",
        "|---|---|---|---|---|---|---|",
    ]
    for drained in results.drained:
        unit = "transactions" if drained.kind == SINGLE else "rows"
        lines.append(
            f"| {drained.transactions:,} of {drained.kind} | {drained.changes:,} | {drained.receive_rate:,.0f} "
            f"| {drained.decode_rate:,.0f} | {drained.decode_rate / drained.receive_rate:.2f} "
            f"| {drained.evict_rate:,.0f} {unit} | {_mebibytes(drained.peak_bytes)} |"
        )
    return "\n".join([*lines, "", *_stream_latencies(results)])


def _stream_latencies(results: StreamResults) -> list[str]:
    bare = next(latency for latency in results.latencies if latency.name.startswith("bare"))
    lines = [
        "At 1,000 writes a second, open loop; the same records through a bare aiokafka producer and consumer. "
        f"Peak memory, MiB: {_mebibytes(results.latency_peak_bytes)}.",
        "",
        "| | p50 ms | p99 ms | p50 / bare | p99 / bare |",
        "|---|---|---|---|---|",
    ]
    for latency in results.latencies:
        lines.append(
            f"| {latency.name} | {latency.p50 * 1000:.2f} | {latency.p99 * 1000:.2f} | {latency.p50 / bare.p50:.1f} "
            f"| {latency.p99 / bare.p99:.1f} |"
        )
    return lines


def _shop(run: ShopRun, json_file: Path | None) -> str:
    outcomes = list(measure_shop(run))
    _keep_json(json_file, shop_json(outcomes))
    shares = " ".join(f"{share * 100:.0f}" for share in run.write_shares)
    said = (
        f"`python -m benchmarks shop --seconds {run.seconds} --shares {shares}` ({dt.datetime.now(dt.UTC):%Y-%m-%d}): "
        f"{run.seconds * run.rate:,} operations of a web shop, {run.rate} due in a second."
    )
    return f"{said}\n\n{shop_tables(outcomes)}"


def _precision(run: PrecisionRun, json_file: Path | None) -> str:
    tallies = measure_precision(run)
    _keep_json(json_file, precision_json(tallies))
    said = (
        f"`python -m benchmarks precision --operations {run.operations}` ({dt.datetime.now(dt.UTC):%Y-%m-%d}): "
        f"the shop's trace with {run.write_share:.0%} writes."
    )
    return f"{said}\n\n{precision_table(tallies)}"


def _keep_json(json_file: Path | None, content: Any) -> None:
    if json_file is not None:
        json_file.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _mebibytes(peak_bytes: dict[str, int]) -> str:
    return ", ".join(f"{peak_bytes[service] / 1024**2:.0f}" for service in SERVICES)


def _audit_section(arguments: Namespace) -> str:
    return _audit(_AUDIT_CLIENTS, max(arguments.rounds, 2), arguments.seconds or _ROUND_SECONDS)


def _stream_section(arguments: Namespace) -> str:
    seconds = arguments.seconds or _ROUND_SECONDS
    return _stream(Size(arguments.rounds, arguments.changes, arguments.transactions, seconds), arguments.profile)


def _shop_section(arguments: Namespace) -> str:
    shares = tuple(percent / 100 for percent in arguments.shares)
    return _shop(ShopRun(shares, arguments.seconds or _SHOP_SECONDS), arguments.json)


def _profiles(seconds: int) -> str:
    lines = [
        f"`python -m benchmarks profiles --seconds {seconds}` ({dt.datetime.now(dt.UTC):%Y-%m-%d}): processor time of "
        "a statement, prepared, 8 clients; the pictures are in `docs/profiles/`.",
        "",
        "| load | the worker, µs | PgBouncer, forwarding the same, µs |",
        "|---|---|---|",
    ]
    lines += [f"| {spent.load} | {spent.worker:.1f} | {spent.bouncer:.1f} |" for spent in measure_profiles(seconds)]
    return "\n".join(lines)


SECTIONS: Mapping[str, Callable[[Namespace], str]] = {
    "evictions": lambda arguments: _evictions(arguments.writes),
    "idle": lambda arguments: _idle(arguments.idle_clients),
    "audit": _audit_section,
    "stream": _stream_section,
    "shop": _shop_section,
    "precision": lambda arguments: _precision(PrecisionRun(arguments.operations), arguments.json),
    "profiles": lambda arguments: _profiles(arguments.seconds or _ROUND_SECONDS),
    "replacement": lambda arguments: replacement_table(max(arguments.operations, _REPLACEMENT_READS)),
}
