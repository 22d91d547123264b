"""Whether a session sees what it wrote, through a cache: asked while a load runs, or after it."""

import psycopg

_ROUNDS = 200


def own_writes_missed(url: str, row: int, rounds: int = _ROUNDS) -> int:
    """Count reads that do not show the write before them.

    Args:
        url: Through the cache, at a level that promises it.
        row: An account that nobody else writes.
        rounds: Writes, each with two reads after it: one that may fill the cache, one that may come from it.
    """
    missed = 0
    read = "SELECT balance FROM account WHERE id = %s"
    with psycopg.connect(url, autocommit=True) as session:
        for number in range(rounds):
            session.execute("UPDATE account SET balance = %s WHERE id = %s", (number, row))
            missed += sum(session.execute(read, (row,)).fetchone() != (number,) for _ in range(2))
    return missed
