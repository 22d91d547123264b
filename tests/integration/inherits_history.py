"""Random families of tables by INHERITS, and random histories of what is done to them."""

import random
from collections.abc import Iterator
from dataclasses import dataclass

TABLES = ("t0", "t1", "t2", "t3", "t4")
KEYS = (1, 2, 3)
VALUES = (1, 2, 3, 4, 5)
_COLUMNS = ("id int NOT NULL", "v int", "k int NOT NULL DEFAULT nextval('keys')", "gap int")
_IDENTITIES = ("PRIMARY KEY (id)", "PRIMARY KEY (k)", "PRIMARY KEY (k)", "")
_MOST_PARENTS = 3
_REDEFINING = 0.12  # how often a history changes who is below whom


@dataclass(frozen=True, slots=True)
class Change:
    """One change; `own`: by the session that reads behind it."""

    sql: str
    own: bool


class History:
    """What is done to one family, where any table may be below any that was made before it, in several ways."""

    def __init__(self, seed: int) -> None:
        """Draw a family."""
        self._chance = random.Random(seed)
        self._above: dict[str, set[str]] = {
            table: set(self._chance.sample(TABLES[:place], k=min(place, self._chance.randint(0, _MOST_PARENTS))))
            for place, table in enumerate(TABLES)
        }

    def schema(self) -> str:
        """Return the statements that make the family; columns stand in another order and place in each table."""
        statements = ["CREATE SEQUENCE keys"]
        for table, parents in self._above.items():
            columns = self._chance.sample(_COLUMNS, k=len(_COLUMNS))
            identity = self._chance.choice(_IDENTITIES) if parents else _IDENTITIES[0]
            statements.append(f"CREATE TABLE {table} ({', '.join(filter(None, (*columns, identity)))})")
            statements.append(f"ALTER TABLE {table} DROP COLUMN gap")
            statements += [] if identity else [f"ALTER TABLE {table} REPLICA IDENTITY FULL"]
            statements += [f"ALTER TABLE {table} INHERIT {parent}" for parent in sorted(parents)]
            statements.append(f"INSERT INTO {table} (id, v) SELECT n, n FROM generate_series(1, {max(KEYS)}) n")
        return "; ".join(statements)

    def changes(self, count: int) -> Iterator[Change]:
        """Give changes of rows, one by one and several in a transaction, and now and then of the family."""
        for _ in range(count):
            own = self._chance.random() < 1 / 2
            if self._chance.random() < _REDEFINING:
                yield Change(self._redefinition(), own)
            else:
                statements = [self._statement() for _ in range(self._chance.choice((1, 1, 1, 3)))]
                yield Change("; ".join(statements), own)

    def _redefinition(self) -> str:
        child = self._chance.choice(TABLES[1:])
        parent = self._chance.choice(TABLES[: TABLES.index(child)])
        above = self._above[child]
        if parent in above:
            above.remove(parent)
            return f"ALTER TABLE {child} NO INHERIT {parent}"
        above.add(parent)
        return f"ALTER TABLE {child} INHERIT {parent}"

    def _statement(self) -> str:
        table, key, value = self._chance.choice(TABLES), self._chance.choice(KEYS), self._chance.choice(VALUES)
        target = self._chance.choice(("", "", "ONLY ")) + table
        kind = self._chance.random()
        if kind < 0.35:
            return f"INSERT INTO {table} (id, v) VALUES ({key}, {value}) ON CONFLICT DO NOTHING"
        if kind < 0.6:
            return f"UPDATE {target} SET v = {value} WHERE id = {key}"
        if kind < 0.8:
            return f"UPDATE {target} SET id = {key % max(KEYS) + 1} WHERE id = {key}"
        return f"DELETE FROM {target} WHERE id = {key}" if kind < 0.95 else f"TRUNCATE {target}"
