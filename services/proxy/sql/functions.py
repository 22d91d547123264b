"""The built-in functions that an answer may use, by name.

A name is on a list only if everything that it can mean in `pg_catalog` is safe; the catalog of the server is asked as
well (`Functions.immutable`), and a function of that name defined in the database takes it off the list. Functions
that are called by a type's name (`date(x)`) are casts, and looked at as such; those that look at catalogs, sessions or
clocks are not here.
"""

# Depend on their arguments alone in every supported version (checked against pg_proc by a test).
IMMUTABLE = frozenset(
    """
    abbrev abs acos acosd acosh any_value area array_agg array_append array_cat array_dims array_fill array_length
    array_lower array_ndims array_position array_positions array_prepend array_remove array_replace array_reverse
    array_sort array_to_tsvector array_upper ascii asin asind asinh atan atan2 atan2d atand atanh avg bit_and
    bit_count bit_length bit_or bit_xor bool_and bool_or bound_box broadcast btrim cardinality casefold cash_words
    cbrt ceil ceiling center char_length character_length chr corr cos cosd cosh cot cotd count covar_pop covar_samp
    crc32 crc32c cume_dist date_bin decode degrees dense_rank diagonal diameter div encode erf erfc every exp
    factorial family first_value floor gamma gcd get_bit get_byte height host hostmask inet_merge inet_same_family
    initcap is_normalized isclosed isempty isfinite ishorizontal isopen isparallel isperp isvertical
    json_array_length json_extract_path json_extract_path_text json_object json_strip_nulls json_typeof
    jsonb_array_length jsonb_extract_path jsonb_extract_path_text jsonb_insert jsonb_object jsonb_object_agg
    jsonb_path_exists jsonb_path_match jsonb_path_query_array jsonb_path_query_first jsonb_pretty jsonb_set
    jsonb_set_lax jsonb_strip_nulls jsonb_typeof justify_days justify_hours justify_interval lag last_value lcm lead
    left lgamma ln log log10 lower lower_inc lower_inf lpad ltrim make_date make_interval make_time make_timestamp
    masklen max md5 min min_scale mod mode multirange netmask network npoints nth_value ntile num_nonnulls num_nulls
    numnode octet_length overlay parse_ident pclose percent_rank percentile_cont percentile_disc pg_size_bytes
    pg_size_pretty pg_wal_lsn_diff pi popen position pow power querytree quote_ident radians radius range_agg
    range_intersect_agg range_merge rank regexp_count regexp_instr regexp_like regexp_match regexp_replace
    regexp_split_to_array regexp_substr regr_avgx regr_avgy regr_count regr_intercept regr_r2 regr_slope regr_sxx
    regr_sxy regr_syy repeat replace reverse right round row_number rpad rtrim scale set_bit set_byte set_masklen
    setweight sha224 sha256 sha384 sha512 sign sin sind sinh slope split_part sqrt starts_with stddev stddev_pop
    stddev_samp string_agg string_to_array strip strpos substr substring sum tan tand tanh to_bin to_hex to_oct
    translate trim_array trim_scale trunc ts_delete ts_filter ts_rank ts_rank_cd tsquery_phrase tsvector_to_array
    unicode_assigned unistr upper upper_inc upper_inf uuid_extract_timestamp uuid_extract_version var_pop var_samp
    variance width width_bucket xmlagg xmlcomment xmltext xpath xpath_exists
    """.split()
)

# Depend on their arguments and on settings that are part of each answer's key (TimeZone, DateStyle, lc_*, ...).
STABLE_IN_SESSION = frozenset(
    """
    array_to_json array_to_string concat concat_ws convert convert_from convert_to date_add date_part date_subtract
    date_trunc enum_first enum_last enum_range extract format json_agg json_agg_strict json_build_array
    json_build_object json_object_agg json_object_agg_strict json_object_agg_unique json_object_agg_unique_strict
    jsonb_agg jsonb_agg_strict jsonb_build_array jsonb_build_object jsonb_object_agg_strict jsonb_object_agg_unique
    jsonb_object_agg_unique_strict length make_timestamptz overlaps quote_literal quote_nullable row_to_json
    timezone to_char to_date to_json to_jsonb to_number to_timestamp xml_is_well_formed xml_is_well_formed_content
    xml_is_well_formed_document
    """.split()
)

# Read texts as a text search configuration says, which may be named by a setting of the key or by a text. The stamp of
# the catalog tells of every change of configurations and dictionaries. What these run must have come with Postgres.
TEXT_SEARCH = frozenset(
    """
    json_to_tsvector jsonb_to_tsvector phraseto_tsquery plainto_tsquery to_tsquery to_tsvector ts_headline
    websearch_to_tsquery
    """.split()
)

# Give several rows, of their arguments alone; a series of moments by TimeZone too. For some, columns are defined.
GIVES_RECORDS = frozenset(("json_to_record", "json_to_recordset", "jsonb_to_record", "jsonb_to_recordset"))
GIVES_ROWS = GIVES_RECORDS | frozenset(
    """
    generate_series generate_subscripts json_array_elements json_array_elements_text json_each json_each_text
    json_object_keys jsonb_array_elements jsonb_array_elements_text jsonb_each jsonb_each_text jsonb_object_keys
    jsonb_path_query regexp_matches regexp_split_to_table string_to_table unnest
    """.split()
)

ALLOWED = IMMUTABLE | STABLE_IN_SESSION

# Of the allowed functions, those that always give a date or time: their result may be cast to another.
GIVES_MOMENT = frozenset(
    """
    date_add date_bin date_subtract date_trunc make_date make_time make_timestamp make_timestamptz timezone
    to_date to_timestamp
    """.split()
)

# Grammar that looks like a call. `extract`, `overlay`, `position`, `substring` and `trim` are functions with their
# own grammar; the rest are expressions. XML is written by xmlbinary and TimeZone, which are in the key.
SPECIAL_FORMS = frozenset(
    """
    array cast coalesce exists greatest grouping least nullif row trim values xmlattributes xmlconcat xmlelement
    xmlforest
    """.split()
)

# Tell something of the session: refused like the word CURRENT_USER.
SESSION_FUNCTIONS = frozenset(
    """
    current_database current_schema current_schemas current_setting getpgusername inet_client_addr inet_client_port
    pg_backend_pid pg_client_encoding
    """.split()
)

# Tell the time, or are counted from it: their answers age (`ageing.py`). `clock_timestamp` and `timeofday` are
# volatile, but only because they tell the time. `age(xid)` is counted from the latest transaction.
CLOCK_FUNCTIONS = frozenset("age clock_timestamp now statement_timestamp timeofday transaction_timestamp".split())
CLOCK_WORDS = frozenset("current_date current_time current_timestamp localtime localtimestamp".split())

# Volatile, but they write no row and change no setting. Statements that use them are forwarded, and count as reads.
HARMLESS_VOLATILE = frozenset(
    """
    clock_timestamp currval gen_random_uuid lastval pg_backend_pid pg_blocking_pids pg_database_size pg_is_in_recovery
    pg_relation_size pg_sleep pg_table_size pg_total_relation_size pg_indexes_size random random_normal timeofday
    txid_current uuidv4 uuidv7 pg_current_wal_insert_lsn pg_current_wal_lsn pg_current_wal_flush_lsn
    pg_last_wal_replay_lsn pg_last_wal_receive_lsn
    """.split()
)

# Stable by their mark, but they run queries of their own.
RUNS_QUERIES = frozenset(
    """
    cursor_to_xml cursor_to_xmlschema database_to_xml database_to_xml_and_xmlschema database_to_xmlschema query_to_xml
    query_to_xml_and_xmlschema query_to_xmlschema schema_to_xml schema_to_xml_and_xmlschema schema_to_xmlschema
    table_to_xml table_to_xml_and_xmlschema table_to_xmlschema ts_rewrite ts_stat
    """.split()
)

# Advance a sequence: not a write of any relation that is ever cached, and harmless in a write.
SEQUENCE_FUNCTIONS = frozenset(("nextval", "setval"))
