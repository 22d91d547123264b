"""The tables in which sessions find ready-made replies: which they are, so that all can be forgotten at once. Pure.

A table is one session state's and one meaning of statement names', or one statement's whatever it is called, and lives
as long as these; here it is known while replies of entries stand in it. Emptying a table costs a few nanoseconds for
each reply, for the entries still hold them; to take every reply out by itself would cost a hundred times as much.
"""

from services.proxy.cache.entry import Reply


class ReplyTables:
    """All tables with replies of one L1's entries."""

    def __init__(self) -> None:
        self._tables: dict[int, tuple[dict[bytes, Reply], int]] = {}  # by identity: the table, and its replies

    def put(self, reply: Reply, table: dict[bytes, Reply], turn: bytes) -> None:
        """Have a reply found in a table by these bytes, beside where it is found so far. None may be there."""
        reply.places = (*reply.places, (table, turn))
        table[turn] = reply
        _, count = self._tables.get(id(table), (table, 0))
        self._tables[id(table)] = table, count + 1

    def stands(self, reply: Reply) -> bool:
        """Tell whether a reply is found where it was put: in all of its tables, or in none."""
        table, turn = reply.places[0]
        return table.get(turn) is reply

    def take_out(self, reply: Reply) -> None:
        """Have a reply found no more, if it still is."""
        for table, turn in reply.places:
            if table.get(turn) is not reply:
                continue
            del table[turn]
            _, count = self._tables[id(table)]
            if count > 1:
                self._tables[id(table)] = table, count - 1
            else:
                del self._tables[id(table)]

    def clear(self) -> None:
        """Empty all tables: what else stands there is made anew when it is asked for."""
        for table, _ in self._tables.values():
            table.clear()
        self._tables.clear()
