"""`make model`: visit every state of every scope, and find what every fault breaks.

python -m tests.model                          everything, on two processors
python -m tests.model --scope gate             one scope
python -m tests.model --fault 'no canary'      one fault, with its trace
"""

import argparse
import sys
import time
from collections.abc import Iterator
from multiprocessing import get_context

from tests.model.checker import Result, search
from tests.model.faults import FAULTS
from tests.model.scope import World
from tests.model.scopes import LARGE, SMALL


def main() -> int:
    """Search; return 0 if no scope was violated and every fault was found."""
    arguments = _arguments()
    worlds, started, failures = list(_worlds(arguments)), time.monotonic(), 0
    with get_context("fork").Pool(arguments.processes, maxtasksperchild=1) as pool:
        for world, result in pool.imap_unordered(_search, worlds, chunksize=1):
            failures += _tell(world, result, traces=len(worlds) == 1)
    _say(f"{len(worlds)} searches in {time.monotonic() - started:.0f} s; {failures} failed")
    return 1 if failures else 0


def _worlds(arguments: argparse.Namespace) -> Iterator[World]:
    scopes = {**SMALL, **LARGE}
    if arguments.scope:
        yield World(scopes[arguments.scope])
    elif arguments.fault:
        yield next(fault.world for fault in FAULTS if fault.name == arguments.fault)
    else:
        yield from (World(scope) for scope in LARGE.values())  # the longest first
        yield from (World(scope) for scope in SMALL.values())
        yield from (fault.world for fault in FAULTS)


def _search(world: World) -> tuple[World, Result]:
    return world, search(world)


def _tell(world: World, result: Result, *, traces: bool) -> int:
    """Say what came of a search; return 1 if it is not what it should be."""
    reached = (
        "exhausted" if result.exhausted else f"found after {len(result.trace)} steps" if result.wrong else "CUT OFF"
    )
    served = bool(result.hits) or not world.scope.probes
    failed = not result.wrong if world.fault else not (result.exhausted and served)
    _say(
        f"{'FAILED ' if failed else ''}{world.scope.name}{f' with {world.fault!r}' if world.fault else ''}: "
        f"{result.states:,} states, {result.transitions:,} steps, depth {result.depth}, {result.seconds:.1f} s, "
        f"{reached}{'' if served or world.fault else ', and nothing could be served'}"
    )
    if result.wrong and (traces or failed):
        for number, label in enumerate(result.trace, 1):
            _say(f"  {number:3} {label}")
        _say(f"      violated: {result.wrong}")
    return int(failed)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.model")
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument("--scope", choices=[*SMALL, *LARGE], help="only this scope")
    chosen.add_argument("--fault", choices=[fault.name for fault in FAULTS], help="only this fault, with its trace")
    parser.add_argument("--processes", type=int, default=2)
    return parser.parse_args()


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - it speaks to a person


if __name__ == "__main__":
    sys.exit(main())
