"""What is said of replica identities that would make evictions exact."""

from services.installation.identity_advice import Wanting, Window, advice, wanting
from services.installation.identity_facts import ReadRelation, RowTable, SeenReads
from services.installation.wal_cost import ChangeCost
from services.shared.keyspace.tags import shape_tag
from services.shared.relation import Shape, ShapeColumn

_INT4 = 23
_BY_OWNER = Shape(1, (ShapeColumn("owner", _INT4),))
_BY_ID = Shape(1, (ShapeColumn("id", _INT4),))
_HOUR = Window(3600.0, {1: (1000, 10)}, 100.0)


def _table(oid: int = 1, **changes: object) -> RowTable:
    known: dict[str, object] = {
        "oid": oid,
        "name": f"public.t{oid}",
        "quoted": f"public.t{oid}",
        "identity": "default",
        "roots": (1,),
        "pages": 10,
        "updates": 1000,
        "deletes": 10,
        "key": frozenset(("id",)),
    }
    return RowTable(**(known | changes))  # type: ignore[arg-type]  # a test names real attributes


def _wanting(*tables: RowTable, shapes: tuple[Shape, ...] = (_BY_OWNER, _BY_ID)) -> list[Wanting]:
    return wanting(
        shapes, tables, {1: ReadRelation("public.t1", "public.t1"), 9: ReadRelation("public.all", "public.all", True)}
    )


def test_a_table_gains_where_its_changes_do_not_tell_what_it_is_read_by() -> None:
    (found,) = _wanting(_table())

    assert (found.shapes, found.untold) == ((_BY_OWNER,), ("owner",))
    (ranged,) = _wanting(_table(), shapes=(Shape(1, (), None, ShapeColumn("owner", _INT4)),))
    assert ranged.untold == ("owner",)
    assert _wanting(_table(), shapes=(_BY_ID,)) == []
    assert _wanting(_table(), shapes=(Shape(1), Shape(1, (), ("owner",)))) == []
    assert _wanting(_table(identity="full", key=frozenset())) == []
    assert _wanting(_table(updates=0, deletes=0)) == []


def test_an_index_is_advised_only_if_it_tells_all_that_is_read_by_and_the_key() -> None:
    def advised(*columns: str, shapes: tuple[Shape, ...] = (_BY_OWNER, _BY_ID)) -> str:
        (found,) = _wanting(_table(indexes=(("i", frozenset(columns)),)), shapes=shapes)
        return found.statements[0].rpartition("IDENTITY ")[2]

    assert advised("owner", "id") == "USING INDEX i"
    assert advised("owner") == "FULL"
    assert advised("owner", shapes=(_BY_OWNER,)) == "FULL"  # reads by the key are exact, and have to stay so
    assert advised("id", "state") == "FULL"


def test_parts_are_told_with_what_most_of_them_are_a_part_of() -> None:
    parts = [_table(oid, roots=(1, 9) if oid == 3 else (9,)) for oid in (2, 3, 4)]
    on_both = (_BY_OWNER, Shape(9, _BY_OWNER.columns))

    (found,) = _wanting(*parts, shapes=on_both)

    assert (found.named.name, len(found.statements)) == ("public.all", 4)


def test_it_is_said_in_one_line() -> None:
    (found,) = _wanting(_table())
    seen = SeenReads((_BY_OWNER,), {1: 30}, {shape_tag(_BY_OWNER): 20})
    said = advice(found, seen, {1: ChangeCost(100, 50)}, _HOUR)

    assert said.text == (
        "public.t1: reads by owner are evicted too widely on UPDATE and DELETE, which do not tell the old owner "
        "(as in 20 of its last 30 evictions)"
    )
    assert said.remedy == (
        "ALTER TABLE public.t1 REPLICA IDENTITY FULL makes them exact, for about 100 kB/h more WAL "
        "(+28 % of what the server writes, by the changes of the last 60 min)"
    )


def test_what_is_not_known_is_not_said() -> None:
    (found,) = _wanting(_table())
    nothing = SeenReads(())
    unknown = advice(found, nothing, {}, _HOUR)
    untimed = advice(found, nothing, {1: ChangeCost(100, 50)}, Window(None, {1: (1000, 10)}, None))
    quiet = advice(found, nothing, {1: ChangeCost(100, 50)}, Window(60.0, {}, 5.0, measured=True))

    assert "last" not in unknown.text
    assert unknown.remedy.endswith("for more WAL; how much is not known, for no row of it could be looked at")
    assert untimed.remedy.endswith(
        "for about 100 bytes more WAL an UPDATE and 50 bytes a DELETE (1,000 and 10 were counted so far)"
    )
    assert quiet.remedy.endswith("(there were none in 60 s)")


def test_many_parts_are_summed_up() -> None:
    parts = [_table(oid) for oid in range(10, 30)]
    (found,) = _wanting(*parts)
    changes = dict.fromkeys(range(10, 30), (3600, 0))
    said = advice(found, SeenReads(()), {10: ChangeCost(50, 0)}, Window(3600.0, changes, None))

    assert "of public.t10, public.t11, public.t12, public.t13, public.t14 and 15 more, which" in said.text
    assert "(and 18 more: --json) makes them exact, for about 3.6 MB/h more WAL (by the changes" in said.remedy
