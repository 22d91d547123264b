"""Functions that Postgres calls stable, and on what else than their arguments they depend: on what is in each key.

The oracle has met each of them in a statement that is cached, and somebody has looked at it. What it meets beyond these
is a fault until somebody has. The list takes nothing from `sql/functions.py`, which it is there to check.
`session/state.py` names the settings of the key.
"""

import itertools

_BY_TIME_ZONE = frozenset(
    """
    date date_part date_trunc extract generate_series make_timestamptz timestamp timestamptz timestamptz_mi_interval
    time timestamptz_pl_interval timezone to_char to_date to_timestamp
    """.split()
) | frozenset(
    f"{one}_{comparison}_{other}"
    for one, other in itertools.permutations(("date", "timestamp", "timestamptz"), 2)
    for comparison in ("cmp", "eq", "ge", "gt", "le", "lt", "ne")
)
_BY_STYLE = frozenset(("date_out", "interval_out", "timestamp_out", "timestamptz_out"))  # DateStyle, IntervalStyle
_BY_LOCALE = frozenset(("cash_out", "to_number"))  # lc_monetary, lc_numeric; to_char as well
_BY_CATALOG = frozenset(("enum_out",))  # labels: pg_enum is part of every fingerprint
# default_text_search_config, and configurations and dictionaries: those are part of every fingerprint too, and so are
# the schemas by which a configuration is called.
_BY_TEXT_SEARCH = frozenset(
    """
    json_to_tsvector jsonb_to_tsvector phraseto_tsquery plainto_tsquery regconfigout to_tsquery to_tsvector ts_headline
    ts_match_tq ts_match_tt websearch_to_tsquery
    """.split()
)
_BY_ENCODING = frozenset(("convert", "convert_from", "convert_to", "length"))  # of the server, which stays as it is
_BY_STRING_SETTINGS = frozenset(("quote_literal", "quote_nullable"))
# As the text of their arguments is, whose types are looked at as well; of a record: the types of its columns, which
# occur by themselves.
_BY_ELEMENTS = frozenset(
    """
    anytextcat array_out array_to_json array_to_string concat concat_ws format json_agg json_build_array
    json_build_object json_object_agg json_to_record json_to_recordset jsonb_agg jsonb_build_array jsonb_build_object
    jsonb_object_agg jsonb_to_record jsonb_to_recordset
    multirange_out range_out record_out row_to_json textanycat to_json to_jsonb
    """.split()
)

STEADY = (
    _BY_TIME_ZONE
    | _BY_STYLE
    | _BY_LOCALE
    | _BY_CATALOG
    | _BY_TEXT_SEARCH
    | _BY_ENCODING
    | _BY_STRING_SETTINGS
    | _BY_ELEMENTS
)

CLOCK = frozenset(
    """
    age clock_timestamp date_in now statement_timestamp time_in timeofday timestamp_in timestamptz_in
    transaction_timestamp SQLVALUEFUNCTION
    """.split()
)
"""What an answer may age by: the clock, text that may say `now`, and session values such as CURRENT_DATE."""
