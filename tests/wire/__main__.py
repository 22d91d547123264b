"""`make streams`: play streams of messages to Postgres and to the proxy, and say what differs.

python -m tests.wire                                  five hundred streams that nobody has seen before
python -m tests.wire --streams 5000 --seed 7          these five thousand, the same on every machine
python -m tests.wire --seed 7 --first 41 --streams 1  the 42nd of them
python -m tests.wire .cache/wire/found-1a2b3c4d.json  what was found
"""

import argparse
import secrets
import sys
import time
from pathlib import Path

from tests.servers.postgres_programs import NEWEST
from tests.wire.notation import read_stream
from tests.wire.playing import WrongModel
from tests.wire.running import AnswersDiffer, Tally, judge, judge_made
from tests.wire.world import World, two_databases

_TELL_SECONDS = 30.0  # between two lines of progress


def main() -> int:
    """Play what was asked for; return 0 when nothing differs."""
    arguments = _arguments()
    tally = Tally()
    with two_databases(arguments.postgres) as world:
        differing = _play_files(world, arguments.files, tally) if arguments.files else _play(world, arguments, tally)
    _say(f"{tally.streams} streams, {differing} differ; {tally.hit_share:.0%} of the warm cacheable reads were hits")
    return 1 if differing else 0


def _play_files(world: World, files: list[Path], tally: Tally) -> int:
    differing = 0
    for file in files:
        try:
            judge(world, read_stream(file.read_text(encoding="utf-8")), tally)
        except (AnswersDiffer, WrongModel) as error:
            differing += 1
            _say(f"{file}: {error}\n")
    return differing


def _play(world: World, arguments: argparse.Namespace, tally: Tally) -> int:
    _say(f"seed {arguments.seed}, {arguments.streams} streams")
    differing, told = 0, time.monotonic()
    for number in range(arguments.first, arguments.first + arguments.streams):
        try:
            judge_made(world, [f"{arguments.seed}/{number}"], tally, arguments.shrink_seconds)
        except (AnswersDiffer, WrongModel) as error:
            differing += 1
            _say(f"{error}\n")
            if differing == arguments.most:
                break
        if time.monotonic() - told > _TELL_SECONDS:
            told = time.monotonic()
            _say(f"{tally.streams} streams, {differing} differ")
    return differing


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.wire")
    parser.add_argument("files", nargs="*", type=Path, help="stored streams; without one, streams are made")
    parser.add_argument("--streams", type=int, default=500, metavar="N", help="how many (default 500)")
    parser.add_argument("--seed", default=secrets.token_hex(4), help="of which they are made (default: a new one)")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="number of the first one (default 0)")
    parser.add_argument("--most", type=int, default=1, metavar="N", help="stop after so many that differ (default 1)")
    parser.add_argument("--shrink-seconds", type=float, default=90.0, help="how long to make one smaller (default 90)")
    parser.add_argument("--postgres", default=NEWEST, metavar="VERSION", help=f"version of Postgres (default {NEWEST})")
    return parser.parse_args()


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
