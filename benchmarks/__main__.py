"""`make bench`: run the measurements, print them, and keep them in benchmarks/RESULTS.md.

python -m benchmarks hits --rounds 5 --seconds 5
python -m benchmarks blocks --rounds 5 --seconds 5
python -m benchmarks evictions --writes 300
python -m benchmarks audit --rounds 15 --seconds 2
python -m benchmarks idle --idle-clients 2000
python -m benchmarks stream --rounds 3
python -m benchmarks shop --seconds 60 --json shop.json
python -m benchmarks precision --operations 20000
"""

import argparse
import datetime as dt
import json
import re
from pathlib import Path
from typing import Any

from benchmarks.audit import measure_audit
from benchmarks.evictions import measure_evictions
from benchmarks.hits import BARE, IN_BLOCKS, measure_hits
from benchmarks.idle import measure_idle
from benchmarks.precision import PrecisionRun, measure_precision
from benchmarks.precision_tally import precision_json, precision_table
from benchmarks.shop.measure import ShopRun, measure_shop
from benchmarks.shop.tables import shop_json, shop_tables
from benchmarks.stream import SINGLE, Size, StreamResults, measure_stream
from benchmarks.stream_services import SERVICES

_RESULTS = Path(__file__).with_name("RESULTS.md")
_SECTIONS = ("hits", "blocks", "audit", "evictions", "idle", "stream", "shop", "precision")
_ROUND_SECONDS, _SHOP_SECONDS = 4, 20
_AUDIT_CLIENTS = 8


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("what", nargs="?", choices=("all", *_SECTIONS), default="all")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each side; the median counts")
    parser.add_argument("--seconds", type=int, help="length of one round (default 4), of the shop's trace (default 20)")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--writes", type=int, default=300, help="changes whose way is timed")
    parser.add_argument("--idle-clients", type=int, default=2000, help="how many clients idle at once")
    parser.add_argument("--changes", type=int, default=400_000, help="row changes of a backlog of bulk transactions")
    parser.add_argument("--transactions", type=int, default=50_000, help="transactions of a backlog of single rows")
    parser.add_argument("--profile", type=Path, help="folder for profiles of the services while they drain a backlog")
    parser.add_argument("--shares", type=int, nargs="+", default=[1, 5, 10, 50], help="percent of the shop's writes")
    parser.add_argument("--json", type=Path, help="file for the results of shop, or of precision, as JSON")
    parser.add_argument("--operations", type=int, default=6_000, help="operations whose evictions are judged")
    arguments = parser.parse_args()
    round_seconds = arguments.seconds or _ROUND_SECONDS
    if arguments.what in ("all", "hits"):
        _keep("hits", _hits("hits", BARE, tuple(arguments.clients), arguments.rounds, round_seconds))
    if arguments.what in ("all", "blocks"):
        _keep("blocks", _hits("blocks", IN_BLOCKS, tuple(arguments.clients), arguments.rounds, round_seconds))
    if arguments.what in ("all", "audit"):
        _keep("audit", _audit(_AUDIT_CLIENTS, max(arguments.rounds, 2), round_seconds))
    if arguments.what in ("all", "evictions"):
        _keep("evictions", _evictions(arguments.writes))
    if arguments.what in ("all", "idle"):
        _keep("idle", _idle(arguments.idle_clients))
    if arguments.what in ("all", "stream"):
        size = Size(arguments.rounds, arguments.changes, arguments.transactions, round_seconds)
        _keep("stream", _stream(size, arguments.profile))
    if arguments.what in ("all", "shop"):
        shares = tuple(percent / 100 for percent in arguments.shares)
        _keep("shop", _shop(ShopRun(shares, arguments.seconds or _SHOP_SECONDS), arguments.json))
    if arguments.what in ("all", "precision"):
        _keep("precision", _precision(PrecisionRun(arguments.operations), arguments.json))


def _hits(what: str, script: str, clients: tuple[int, ...], rounds: int, seconds: int) -> str:
    lines = [
        f"`python -m benchmarks {what} --rounds {rounds} --seconds {seconds} --clients {' '.join(map(str, clients))}`"
        f" ({dt.datetime.now(dt.UTC):%Y-%m-%d}): medians of transactions a second, interleaved.",
        "",
        "| pgbench -M | clients | Postgres direct | PgBouncer | Tidegate | Tidegate / PgBouncer | Tidegate / direct "
        "| wrong answers |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for rates in measure_hits(clients, rounds, seconds, script):
        lines.append(
            f"| {rates.mode} | {rates.clients} | {rates.direct:,.0f} | {rates.pgbouncer:,.0f} | {rates.tidegate:,.0f} "
            f"| {rates.tidegate / rates.pgbouncer:.2f} | {rates.tidegate / rates.direct:.2f} | {rates.wrong_answers} |"
        )
    return "\n".join(lines)


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


def _keep(section: str, table: str) -> None:
    """Print a table and put it in its place in the results."""
    print(table, end="\n\n")
    begin, end = f"<!-- {section} -->", f"<!-- /{section} -->"
    text = _RESULTS.read_text() if _RESULTS.exists() else ""
    block = f"{begin}\n{table}\n{end}"
    if begin in text:
        text = re.sub(f"{re.escape(begin)}.*?{re.escape(end)}", lambda _: block, text, flags=re.DOTALL)
    else:
        text = f"{text}\n## {section.capitalize()}\n\n{block}\n"
    _RESULTS.write_text(text)


if __name__ == "__main__":
    main()
