"""Functions that Postgres calls stable, and on what else than their arguments they depend: on what is in each key.

Those that a cached statement may call by name are `STABLE_IN_SESSION`. The others here stand behind operators, casts
and the texts of types; the oracle has met each of them in a statement that is cached, and somebody has looked at it.
What it meets beyond these is a fault until somebody has. `session/state.py` names the settings of the key.
"""

from services.proxy.sql.functions import STABLE_IN_SESSION

_BY_TIME_ZONE = frozenset(("date", "timestamp", "timestamptz", "timestamptz_mi_interval", "timestamptz_pl_interval"))
_BY_STYLE = frozenset(("date_out", "interval_out", "timestamp_out", "timestamptz_out"))  # DateStyle, IntervalStyle
_BY_LOCALE = frozenset(("cash_out",))  # lc_monetary
_BY_CATALOG = frozenset(("enum_out",))  # labels: pg_enum is part of every fingerprint
# As their elements are, which are looked at as well; those of a record are columns, whose types occur by themselves.
_BY_ELEMENTS = frozenset(("array_out", "multirange_out", "range_out", "record_out"))

STEADY = STABLE_IN_SESSION | _BY_TIME_ZONE | _BY_STYLE | _BY_LOCALE | _BY_CATALOG | _BY_ELEMENTS
