"""`make changes`: play histories of changes to a database behind the cache, and say what was evicted wrongly.

python -m tests.changes                                   some histories that nobody has seen before, on every version
python -m tests.changes --seed 7 --histories 200          two hundred a version, the same on every machine
python -m tests.changes --seed 7 --first 41 --histories 1 --versions 15   the 42nd of them, on Postgres 15
python -m tests.changes .cache/changes/found-1a2b3c4d.sql what was found
"""

import argparse
import secrets
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from tests.changes.grammar import DEFAULT_STEPS
from tests.changes.notation import read_history
from tests.changes.running import Tally, Violation, judge, judge_made
from tests.changes.stage import Stage, staged
from tests.servers.kafka import KafkaServer
from tests.servers.postgres_programs import VERSIONS

_TELL_SECONDS = 30.0  # between two lines of progress


def main() -> int:
    """Play what was asked for; return 0 when no promise was broken."""
    arguments = _arguments()
    violations = 0
    if not arguments.files:
        _say(f"seed {arguments.seed}, {arguments.histories} histories on each of Postgres {arguments.versions}")
    for version in arguments.versions.split(","):
        tally = Tally()
        with ExitStack() as servers:
            event_log = "redis"
            if arguments.kafka:
                event_log = f"kafka://{servers.enter_context(KafkaServer()).bootstrap}"
            stage = servers.enter_context(staged(version, event_log=event_log))
            play = _play_files if arguments.files else _play
            violations += play(stage, arguments, tally)
        _say(f"Postgres {version}: {tally}")
    _say(f"{violations} histories show a violation")
    return 1 if violations else 0


def _play_files(stage: Stage, arguments: argparse.Namespace, tally: Tally) -> int:
    violations = 0
    for file in arguments.files:
        history = read_history(file.read_text(encoding="utf-8"))
        if history.since > stage.version:
            continue
        try:
            judge(stage, history, tally)
        except Violation as error:
            violations += 1
            _say(f"{file}: {error}\n")
    return violations


def _play(stage: Stage, arguments: argparse.Namespace, tally: Tally) -> int:
    violations, told = 0, time.monotonic()
    for number in range(arguments.first, arguments.first + arguments.histories):
        try:
            judge_made(stage, [f"{arguments.seed}/{number}"], tally, arguments.shrink_seconds, arguments.steps)
        except Violation as error:
            violations += 1
            _say(f"Postgres {stage.version}: {error}\n")
            if violations == arguments.most:
                break
        if time.monotonic() - told > _TELL_SECONDS:
            told = time.monotonic()
            _say(f"Postgres {stage.version}: {tally.histories} histories, {violations} show a violation")
    return violations


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.changes")
    parser.add_argument("files", nargs="*", type=Path, help="stored histories; without one, histories are made")
    parser.add_argument("--histories", type=int, default=20, metavar="N", help="how many on each version (default 20)")
    parser.add_argument("--seed", default=secrets.token_hex(4), help="of which they are made (default: a new one)")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="number of the first one (default 0)")
    parser.add_argument("--steps", type=int, default=DEFAULT_STEPS, metavar="N", help="of each, about")
    parser.add_argument("--most", type=int, default=1, metavar="N", help="stop after so many violations (default 1)")
    parser.add_argument("--shrink-seconds", type=float, default=120.0, help="how long to make one shorter")
    parser.add_argument("--versions", default=",".join(VERSIONS), help=f"of Postgres (default {','.join(VERSIONS)})")
    parser.add_argument("--kafka", action="store_true", help="with the event log in Kafka instead of Redis")
    return parser.parse_args()


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
