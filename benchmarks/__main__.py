"""`make bench`: run the suite, print what it finds, and keep it in benchmarks/RESULTS.md and benchmarks/results.json.

python -m benchmarks                            the whole suite: every scenario, at modest lengths
python -m benchmarks hits --rounds 5 --seconds 4
python -m benchmarks --quick                    each scenario for seconds, to see that it works; nothing is kept
python -m benchmarks charts                     docs/charts from benchmarks/results.json

Further measurements, each by its name:

python -m benchmarks blocks --rounds 5 --seconds 5
python -m benchmarks evictions --writes 300
python -m benchmarks audit --rounds 15 --seconds 2
python -m benchmarks idle --idle-clients 2000
python -m benchmarks stream --rounds 3
python -m benchmarks shop --seconds 60 --json shop.json
python -m benchmarks precision --operations 20000
python -m benchmarks replacement --operations 100000
python -m benchmarks scale                      how cost grows, into docs/scale.md and benchmarks/scale.json
python -m benchmarks scale --curves entries tags
"""

import argparse
import sys
from pathlib import Path

from benchmarks.charts.drawing import draw_charts
from benchmarks.measurement import Run
from benchmarks.results import FIGURES, TABLES, keep_table
from benchmarks.scale.keep import keep_curves
from benchmarks.scale.measure import curves, measure_scale
from benchmarks.scenarios.registry import SCENARIOS
from benchmarks.sections import SECTIONS
from benchmarks.suite import Keeping, run_suite

_ALL, _CHARTS, _SCALE = "all", "charts", "scale"
_SCALE_SECONDS = 4


def main() -> int:
    """Run what was asked for, and return 1 if an answer was wrong."""
    arguments = _parser().parse_args()
    if arguments.what == _CHARTS:
        for path in draw_charts(arguments.json or FIGURES):
            print(path)
        return 0
    if arguments.what == _SCALE:
        seconds = arguments.seconds or _SCALE_SECONDS
        keep_curves(measure_scale(seconds, arguments.curves), seconds)
        return 0
    if arguments.what in SECTIONS:
        table = SECTIONS[arguments.what](arguments)
        print(table, end="\n\n")
        keep_table(arguments.what, table)
        return 0
    chosen = [one for one in SCENARIOS if arguments.what == one.name or (arguments.what == _ALL and one.in_suite)]
    keeping = Keeping(TABLES, arguments.json or FIGURES)
    run = Run(arguments.rounds, arguments.seconds or Run().seconds)
    if arguments.quick:
        run, keeping = Run(rounds=1, seconds=1, quick=True), Keeping(None, arguments.json)
    right = run_suite(chosen, run, keeping)
    if keeping.tables is not None:
        draw_charts(arguments.json or FIGURES)
    return 0 if right else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    names = [scenario.name for scenario in SCENARIOS]
    parser.add_argument("what", nargs="?", choices=(_ALL, *names, *SECTIONS, _SCALE, _CHARTS), default=_ALL)
    parser.add_argument("--rounds", type=int, default=Run().rounds, help="rounds of each side; the median counts")
    parser.add_argument("--seconds", type=int, help="length of one round (default 2), of the shop's trace (default 20)")
    parser.add_argument("--quick", action="store_true", help="one short round of few cases; keeps nothing")
    parser.add_argument("--json", type=Path, help="file for the figures (default benchmarks/results.json)")
    parser.add_argument("--writes", type=int, default=300, help="changes whose way is timed")
    parser.add_argument("--idle-clients", type=int, default=2000, help="how many clients idle at once")
    parser.add_argument("--changes", type=int, default=400_000, help="row changes of a backlog of bulk transactions")
    parser.add_argument("--transactions", type=int, default=50_000, help="transactions of a backlog of single rows")
    parser.add_argument("--profile", type=Path, help="folder for profiles of the services while they drain a backlog")
    parser.add_argument("--shares", type=int, nargs="+", default=[1, 5, 10, 50], help="percent of the shop's writes")
    parser.add_argument("--operations", type=int, default=6_000, help="operations whose evictions are judged")
    parser.add_argument("--curves", nargs="+", choices=tuple(curves(0)), default=[], help="of scale; all by default")
    return parser


if __name__ == "__main__":
    sys.exit(main())
