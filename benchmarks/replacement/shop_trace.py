"""The shop's trace as a cache sees it, with the answers of Postgres: their sizes, and which reads find another."""

from contextlib import closing

from psycopg import pq

from benchmarks.replacement.traces import Read
from benchmarks.shop.measure import ShopRun
from benchmarks.shop.peers import fresh_copy, make_template
from benchmarks.shop.player import Player
from benchmarks.shop.schema import ShopSize, setup_statements
from benchmarks.shop.statements import Statement
from benchmarks.shop.trace import make_trace
from tests.servers.postgres import PostgresServer

_ROW_BYTES, _VALUE_BYTES = 7, 4  # of a DataRow beside its values
_DESCRIPTION_BYTES = 30  # of a column


class _SizedPlayer(Player):
    """Notes of each read how large its answer is on the wire."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.sizes: list[int] = []

    def close(self) -> None:
        """Close its sessions."""
        self.__exit__()

    def _run(self, session: pq.abc.PGconn, one: Statement) -> pq.abc.PGresult:
        result = super()._run(session, one)
        places = ((row, column) for row in range(result.ntuples) for column in range(result.nfields))
        values = sum(len(result.get_value(*place) or b"") for place in places)
        rows = result.ntuples * (_ROW_BYTES + result.nfields * _VALUE_BYTES)
        self.sizes.append(values + rows + result.nfields * _DESCRIPTION_BYTES)
        return result


def shop_trace(count: int, write_share: float) -> list[Read]:
    """Play the trace to Postgres, and return its reads.

    Args:
        count: Of operations.
        write_share: Share of those that write.
    """
    run = ShopRun()
    trace = make_trace(run.seed, write_share, count, run.rate, ShopSize())
    reads: list[Read] = []
    last: dict[Statement, bytes | None] = {}
    with PostgresServer() as server:
        make_template(server, setup_statements(run.size))
        with fresh_copy(server) as url, closing(_SizedPlayer(url)) as player:
            for operation in trace.operations:
                answer = player.do(operation)
                if operation.is_write:
                    continue
                (asked,) = operation.statements
                key = repr((asked.text, asked.values)).encode()
                reads.append(Read(key, player.sizes[-1], last.get(asked, answer) != answer))
                last[asked] = answer
    return reads
