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
        """Have a reply found in a table by these bytes of a client. None may be there."""
        reply.table, reply.turn = table, turn
        self._put(reply, table, turn)

    def put_also(self, reply: Reply, table: dict[bytes, Reply], turn: bytes) -> None:
        """Have a reply found in a second table, too."""
        reply.also, reply.also_turn = table, turn
        self._put(reply, table, turn)

    def stands(self, reply: Reply) -> bool:
        """Tell whether a reply is found where it was put: in all of its tables, or in none."""
        return reply.table.get(reply.turn) is reply

    def take_out(self, reply: Reply) -> None:
        """Have a reply found no more, if it still is."""
        if reply.table.get(reply.turn) is reply:
            self._take_out(reply.table, reply.turn)
        if reply.also_turn and reply.also.get(reply.also_turn) is reply:
            self._take_out(reply.also, reply.also_turn)

    def clear(self) -> None:
        """Empty all tables: what else stands there is made anew when it is asked for."""
        for table, _ in self._tables.values():
            table.clear()
        self._tables.clear()

    def _put(self, reply: Reply, table: dict[bytes, Reply], turn: bytes) -> None:
        table[turn] = reply
        _, count = self._tables.get(id(table), (table, 0))
        self._tables[id(table)] = table, count + 1

    def _take_out(self, table: dict[bytes, Reply], turn: bytes) -> None:
        del table[turn]
        _, count = self._tables[id(table)]
        if count > 1:
            self._tables[id(table)] = table, count - 1
        else:
            del self._tables[id(table)]
