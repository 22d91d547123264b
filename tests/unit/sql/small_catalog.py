"""A small catalog made by hand, for rules that need no Postgres."""

from services.proxy.sql.builtin_types import PLAIN_TYPES
from services.proxy.sql.functions import (
    ALLOWED,
    GIVES_ROWS,
    HARMLESS_VOLATILE,
    IMMUTABLE,
    SEQUENCE_FUNCTIONS,
    TEXT_SEARCH,
)
from services.proxy.sql.snapshot import Catalog, Column, Functions, Operators, Relation

_TYPES = {
    "int4": 23,
    "int8": 20,
    "text": 25,
    "uuid": 2950,
    "timestamptz": 1184,
    "bpchar": 1042,
    "bool": 16,
    "numeric": 1700,
}
_STEADY = (
    ALLOWED
    | GIVES_ROWS
    | TEXT_SEARCH
    | {"age", "date", "daterange", "int4", "int4range", "numeric", "timestamp", "tsrange", "now"}
    | {"current_setting", "pg_table_is_visible", "table_to_xml"}
)
_VOLATILE = HARMLESS_VOLATILE | SEQUENCE_FUNCTIONS | {"set_config", "lo_get", "pg_advisory_lock", "txid_current"}


def column(name: str, type_name: str = "text", **marks: bool) -> Column:
    """Make a column; marks: user_type, generated, deterministic, is_enum, not_null."""
    known = {"user_type": False, "generated": False, "deterministic": True, "is_enum": False, "not_null": False} | marks
    return Column(name, _TYPES.get(type_name, 99_999), type_name, **known)


def table(oid: int, name: str, *columns: Column, key: tuple[str, ...] = ("id",), **changes: object) -> Relation:
    """Make an ordinary published table; `changes` are other attributes of `Relation`."""
    attributes: dict[str, object] = {
        "oid": oid,
        "schema": "public",
        "name": name,
        "kind": "r",
        "persistence": "p",
        "row_security": False,
        "temporary_children": False,
        "user_triggers": False,
        "rules": False,
        "cascades": False,
        "user_code": False,
        "identity": "d",
        "identity_columns": frozenset(key),
        "primary_key": key,
        "publication_entry": oid + 50_000,
        "columns": columns or (column("id", "int4"), column("v")),
    }
    return Relation(**(attributes | changes))  # type: ignore[arg-type]  # a test names real attributes


USERS = table(20_001, "users", column("id", "int4", not_null=True), column("name"), column("created", "timestamptz"))
ORDERS = table(20_002, "orders", column("id", "int8"), column("user_id", "int4"), column("status"), cascades=True)
ITEMS = table(
    20_003, "items", column("order_id", "int8"), column("line", "int4"), column("sku"), key=("order_id", "line")
)
OTHER_USERS = table(20_004, "users", schema="other")
VIEW = table(20_005, "a_view", kind="v", publication_entry=None, rules=True)
TRIGGERED = table(20_006, "triggered", user_triggers=True)
CATALOG_TABLE = table(1259, "pg_class", schema="pg_catalog")


def small_catalog(*more: Relation, **changes: object) -> Catalog:
    """Make a catalog of the tables above and more; `changes` are other attributes of `Catalog`."""
    relations = (USERS, ORDERS, ITEMS, OTHER_USERS, VIEW, TRIGGERED, CATALOG_TABLE, *more)
    attributes: dict[str, object] = {
        "publication": "tidegate_test",
        "version": 180_000,
        "stamp": "s",
        "global_part": "g",
        "relation_parts": {relation.oid: f"part of {relation.oid}" for relation in relations},
        "relations": {(relation.schema, relation.name): relation for relation in relations},
        "functions": Functions(
            immutable=IMMUTABLE,
            steady=_STEADY,
            builtin=_STEADY | _VOLATILE,
            user=frozenset(("my_function", "max")),
            competing=frozenset(("my_function",)),
            on_rows=frozenset(("my_function", "to_json", "row_to_json", "count", "pg_typeof")),
        ),
        "operators": Operators(
            builtin=frozenset(
                "= <> < > <= >= + - * / % || ~ !~ ~* !~* ~~ !~~ ~~* !~~* -> ->> #> #>> @> <@ && ? ?| ?& @ | & # "
                "@@ ~<~ ~>=~ <<=".split()
            ),
            competing=frozenset(("&&",)),
        ),
        "builtin_types": PLAIN_TYPES | {"regclass", "timetz"},
        "user_casts": False,
        "name_spaces": "n",
    }
    return Catalog(**(attributes | changes))  # type: ignore[arg-type]  # a test names real attributes
