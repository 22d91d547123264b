"""Why a statement is not cached: one name and one sentence of advice per reason."""

from enum import StrEnum


class Reason(StrEnum):
    """The named refusals. The value is what a user sees in metrics, logs and explanations."""

    NOT_A_SELECT = "not_a_select"
    EMPTY = "empty"
    MULTIPLE_STATEMENTS = "multiple_statements"
    LEX_ERROR = "lex_error"
    PARSE_ERROR = "parse_error"
    UNSUPPORTED_SYNTAX = "unsupported_syntax"
    NO_RELATION = "no_relation"
    UNKNOWN_RELATION = "unknown_relation"
    UNKNOWN_COLUMN = "unknown_column"
    SYSTEM_CATALOG = "system_catalog"
    TEMPORARY_OR_UNLOGGED = "temporary_or_unlogged"
    FOREIGN_TABLE = "foreign_table"
    VIEW = "view"
    MATERIALIZED_VIEW = "materialized_view"
    SEQUENCE = "sequence"
    NOT_A_TABLE = "not_a_table"
    CHILD_NOT_FOLLOWED = "child_not_followed"
    NOT_PUBLISHED = "not_published"
    NO_REPLICA_IDENTITY = "no_replica_identity"
    ROW_SECURITY = "row_security"
    POLICY_FUNCTION = "policy_function"
    POLICY_SETTING = "policy_setting"
    POLICY_RELATION = "policy_relation"
    RULES = "rules"
    VOLATILE_FUNCTION = "volatile_function"
    UNKNOWN_FUNCTION = "unknown_function"
    USER_FUNCTION = "user_function"
    TABLE_FUNCTION = "table_function"
    TEXT_SEARCH = "text_search"
    SESSION_FUNCTION = "session_function"
    CURRENT_TIME = "current_time"
    LARGE_OBJECT = "large_object"
    USER_OPERATOR = "user_operator"
    UNKNOWN_OPERATOR = "unknown_operator"
    USER_TYPE = "user_type"
    USER_CAST = "user_cast"
    UNSUPPORTED_TYPE = "unsupported_type"
    REG_TYPE_CAST = "reg_type_cast"
    LOCKING_CLAUSE = "locking_clause"
    DATA_MODIFYING_CTE = "data_modifying_cte"
    SELECT_INTO = "select_into"
    SYSTEM_COLUMN = "system_column"
    TABLESAMPLE = "tablesample"
    RELATIVE_TIME_INPUT = "relative_time_input"
    SEARCH_PATH = "search_path"


ADVICE: dict[Reason, str] = {
    Reason.NOT_A_SELECT: "Only reads are cached; this statement went to Postgres as it was.",
    Reason.EMPTY: "There is no statement in this text.",
    Reason.MULTIPLE_STATEMENTS: "Send each statement on its own: several in one message are forwarded together.",
    Reason.LEX_ERROR: "The text cannot be cut into tokens with certainty; write literals and identifiers plainly.",
    Reason.PARSE_ERROR: "The statement could not be understood completely; a simpler spelling may be.",
    Reason.UNSUPPORTED_SYNTAX: "The statement uses a construct that the cache does not know yet.",
    Reason.NO_RELATION: "The statement reads no table, so there is nothing that would keep its answer fresh.",
    Reason.UNKNOWN_RELATION: "A name is no table on this session's search_path; check its spelling or schema.",
    Reason.UNKNOWN_COLUMN: "A qualified column is not a column of its table, so Postgres may take it for a function.",
    Reason.SYSTEM_CATALOG: "System catalogs change without a trace in the WAL stream, so they are not cached.",
    Reason.TEMPORARY_OR_UNLOGGED: "Changes of such tables are not in the WAL; make the table a permanent, logged one.",
    Reason.FOREIGN_TABLE: "Changes of a foreign table happen on another server, where they cannot be seen.",
    Reason.VIEW: "The view's definition uses something that the cache does not know; select from its tables.",
    Reason.MATERIALIZED_VIEW: "A materialized view changes without row changes; let answers age (`ageing_ttl`).",
    Reason.SEQUENCE: "Sequences change without row changes, so they are not cached.",
    Reason.NOT_A_TABLE: "The name belongs to an index or a type, not to a table.",
    Reason.CHILD_NOT_FOLLOWED: "A child by INHERITS is not followed; `tidegate check` says which; read ONLY the table.",
    Reason.NOT_PUBLISHED: "The table's changes are not published in full; add it to the publication without filters.",
    Reason.NO_REPLICA_IDENTITY: "The table has no usable replica identity; give it a primary key.",
    Reason.ROW_SECURITY: "A row security policy uses something that the cache does not know; a simpler one may be.",
    Reason.POLICY_FUNCTION: "A row security policy calls a function or operator that depends on more than is known.",
    Reason.POLICY_SETTING: "A row security policy reads something of the session that is no setting like 'app.tenant'.",
    Reason.POLICY_RELATION: "A row security policy reads a table or view that cannot be cached by itself.",
    Reason.RULES: "The table has rewrite rules, which may change what a statement means.",
    Reason.VOLATILE_FUNCTION: "A function depends on more than its arguments; pass its value as a parameter.",
    Reason.UNKNOWN_FUNCTION: "A function is not on the list of functions that depend on their arguments alone.",
    Reason.USER_FUNCTION: "A function of that name was defined in this database; what it reads cannot be known.",
    Reason.TABLE_FUNCTION: "Of what gives rows in FROM, only functions called by their names are cached.",
    Reason.TEXT_SEARCH: "A text search parser or template was defined in this database; what it does cannot be known.",
    Reason.SESSION_FUNCTION: "The statement asks for something of the session; pass the value as a parameter.",
    Reason.CURRENT_TIME: "The statement asks for the time; pass it as a parameter, or let answers age (`ageing_ttl`).",
    Reason.LARGE_OBJECT: "Large objects are not part of the WAL stream; keep the data in a bytea column.",
    Reason.USER_OPERATOR: "An operator with that symbol was defined in this database; what it reads cannot be known.",
    Reason.UNKNOWN_OPERATOR: "The statement uses an operator that the cache does not know.",
    Reason.USER_TYPE: "The statement touches a column or a cast of a type that was defined in this database.",
    Reason.USER_CAST: "A cast between built-in types was defined in this database, and may work where none is written.",
    Reason.UNSUPPORTED_TYPE: "The statement touches a column or a cast of a type whose text depends on the moment.",
    Reason.REG_TYPE_CAST: "Casts to regclass and the like read the system catalogs.",
    Reason.LOCKING_CLAUSE: "FOR UPDATE and FOR SHARE take locks, which only Postgres can give.",
    Reason.DATA_MODIFYING_CTE: "The statement writes in its WITH clause.",
    Reason.SELECT_INTO: "SELECT INTO makes a table.",
    Reason.SYSTEM_COLUMN: "System columns such as ctid and xmin change without a change of the row's content.",
    Reason.TABLESAMPLE: "TABLESAMPLE gives other rows at each call.",
    Reason.RELATIVE_TIME_INPUT: "A text may mean a moment relative to now; pass that, or let answers age "
    "(`ageing_ttl`).",
    Reason.SEARCH_PATH: "A schema comes before pg_catalog on the search_path, so any name may mean something else.",
}
