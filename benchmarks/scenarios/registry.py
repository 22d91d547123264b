"""All scenarios of the suite, in the order in which they run and stand in the results."""

from benchmarks.measurement import Scenario
from benchmarks.scenarios.dashboards import DASHBOARDS
from benchmarks.scenarios.distances import DISTANCES
from benchmarks.scenarios.entry_memory import ENTRY_MEMORY
from benchmarks.scenarios.hits import BLOCKS, HITS
from benchmarks.scenarios.large_results import LARGE_RESULTS
from benchmarks.scenarios.levels import LEVELS
from benchmarks.scenarios.misses import MISSES
from benchmarks.scenarios.mix import MIX, MIX_AWAY
from benchmarks.scenarios.numbered import NUMBERED
from benchmarks.scenarios.room import ROOM
from benchmarks.scenarios.spellings import SPELLINGS
from benchmarks.scenarios.stampede import STAMPEDE
from benchmarks.scenarios.transactions import TRANSACTIONS
from benchmarks.scenarios.warm_up import WARM_UP
from benchmarks.scenarios.workers import WORKERS

SCENARIOS: tuple[Scenario, ...] = (
    HITS,
    MISSES,
    MIX,
    MIX_AWAY,
    SPELLINGS,
    NUMBERED,
    ROOM,
    TRANSACTIONS,
    DASHBOARDS,
    LARGE_RESULTS,
    WARM_UP,
    DISTANCES,
    WORKERS,
    LEVELS,
    ENTRY_MEMORY,
    STAMPEDE,
    BLOCKS,
)
