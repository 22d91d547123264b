"""What `tidegate explain` says of row security."""

from services.proxy.explain.explanation import explain, lines
from services.proxy.sql.snapshot import Policy
from services.proxy.sql.statement import NameSpace
from tests.unit.sql.small_catalog import small_catalog, table

_SECURED, _CALLING = table(20_302, "secured", row_security=True), table(20_303, "calling", row_security=True)
_CATALOG = small_catalog(
    _SECURED,
    _CALLING,
    policies={
        _SECURED.oid: (Policy("by_tenant", True, "v = (''::text)", ("app.tenant",)),),
        _CALLING.oid: (Policy("fine", True, "true"), Policy("by_code", True, "my_function(id)")),
    },
)


def _told(text: str) -> list[str]:
    return list(lines(explain(text, _CATALOG, NameSpace(("pg_catalog", "public")))))


def test_the_settings_that_policies_read_are_named() -> None:
    assert _told("SELECT * FROM secured WHERE id = 7")[:2] == ["cached", "  for each value of app.tenant by itself"]


def test_the_policy_that_keeps_a_table_out_is_named() -> None:
    assert _told("SELECT * FROM calling")[0] == "forwarded: policy_function (by_code on public.calling)"
