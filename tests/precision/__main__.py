"""`make soak`: play made pairs of a query and a transaction, and say whether an answer that changed was kept.

python -m tests.precision                                  twenty thousand pairs that nobody has seen before
python -m tests.precision --pairs 1000000 --seed 7         a million, the same on every machine
python -m tests.precision .cache/precision/found-1a2b.json what was found
"""

import argparse
import secrets
import sys
import time
from pathlib import Path

from tests.precision.case import read_case
from tests.precision.running import Violation, is_violation, judge_made
from tests.precision.stage import Stage, open_stage
from tests.precision.tally import Tally
from tests.servers.postgres import PostgresServer
from tests.servers.postgres_programs import NEWEST


def main() -> int:
    """Play what was asked for; return 0 when nothing is wrong."""
    arguments = _arguments()
    with PostgresServer(arguments.version) as server, open_stage(server) as stage:
        return _play_files(stage, arguments.files) if arguments.files else _play(stage, arguments)


def _play_files(stage: Stage, files: list[Path]) -> int:
    wrong = [file for file in files if is_violation(stage, read_case(file.read_text(encoding="utf-8")))]
    for file in files:
        _say(f"{file}: {'violation' if file in wrong else 'fine'}")
    return 1 if wrong else 0


def _play(stage: Stage, arguments: argparse.Namespace) -> int:
    _say(f"seed {arguments.seed}, {arguments.pairs} pairs, Postgres {arguments.version}")
    tally, started, code = Tally(), time.monotonic(), 0
    try:
        judge_made(stage, arguments.seed, arguments.pairs, tally, arguments.shrink_seconds)
    except Violation as error:
        _say(f"{error}\n")
        code = 1
    _say(
        f"{tally.pairs} pairs in {time.monotonic() - started:.0f} s; {tally.cached_share:.0%} of the queries are "
        f"cached; {tally.unanswered} pairs failed, {tally.ambiguous} answers depend on the order of rows, "
        f"{tally.broken_worlds.total()} worlds were refused"
    )
    if arguments.verbose:
        _say(f"refused: {tally.refused.most_common(12)}\nwrong: {tally.wrong_queries.most_common(25)}")
    _say(tally.table())
    return code


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.precision")
    parser.add_argument("files", nargs="*", type=Path, help="stored cases; without one, worlds are made")
    parser.add_argument("--pairs", type=int, default=20_000, metavar="N", help="how many (default 20,000)")
    parser.add_argument("--seed", default=secrets.token_hex(4), help="of which they are made (default: a new one)")
    parser.add_argument("--version", default=NEWEST, help=f"version of Postgres (default {NEWEST})")
    parser.add_argument(
        "--shrink-seconds", type=float, default=120.0, help="how long to make one smaller (default 120)"
    )
    parser.add_argument("--verbose", action="store_true", help="say which queries were refused, and why")
    return parser.parse_args()


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
