"""How often Python looks for cycles of garbage, in a process through which rows stream or that holds many answers.

By default it looks whenever 700 more objects live than before. Rows that are decoded and not yet sent are so many more,
none of them garbage: a third of the time of the CDC service and of the invalidator went into looking. A worker of the
proxy that looks at all of a hundred thousand answers stands still for a tenth of a second. What garbage they make in
cycles (exceptions, tasks, sessions that are over) is little, and is found all the same.
"""

import gc

YOUNG_OBJECTS = 20_000
"""How many more objects have to live before the youngest are looked at: a few megabytes."""

_MIDDLE_ROUNDS, _OLD_ROUNDS = 10, 50


def collect_seldom() -> None:
    """Leave alone for good what lives now, and look at the rest less often. To be called once all is imported."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, _MIDDLE_ROUNDS, _OLD_ROUNDS)
