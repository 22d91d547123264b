"""Which statements begin or end a block in a way that the proxy may answer itself."""

import pytest

from services.proxy.sql.block_statement import BlockStep, block_statement
from services.proxy.sql.template import lex


@pytest.mark.parametrize(
    ("text", "step", "tag"),
    [
        ("BEGIN", BlockStep.BEGIN, "BEGIN"),
        ("begin;", BlockStep.BEGIN, "BEGIN"),
        (" BEGIN  WORK ; ", BlockStep.BEGIN, "BEGIN"),
        ("/* a */ BEGIN /* b */ TRANSACTION -- c", BlockStep.BEGIN, "BEGIN"),
        ("START TRANSACTION", BlockStep.BEGIN, "START TRANSACTION"),
        ("BEGIN ISOLATION LEVEL READ COMMITTED", BlockStep.BEGIN, "BEGIN"),
        ("BEGIN TRANSACTION ISOLATION LEVEL READ UNCOMMITTED, READ ONLY", BlockStep.BEGIN, "BEGIN"),
        ("START TRANSACTION READ WRITE NOT DEFERRABLE", BlockStep.BEGIN, "START TRANSACTION"),
        ("START TRANSACTION READ ONLY , DEFERRABLE", BlockStep.BEGIN, "START TRANSACTION"),
        ("COMMIT", BlockStep.COMMIT, "COMMIT"),
        ("END TRANSACTION", BlockStep.COMMIT, "COMMIT"),
        ("commit work and no chain", BlockStep.COMMIT, "COMMIT"),
        ("ROLLBACK", BlockStep.ROLLBACK, "ROLLBACK"),
        ("ABORT WORK", BlockStep.ROLLBACK, "ROLLBACK"),
        ("ROLLBACK AND NO CHAIN;", BlockStep.ROLLBACK, "ROLLBACK"),
    ],
)
def test_a_plain_beginning_or_end(text: str, step: BlockStep, tag: str) -> None:
    found = block_statement(lex(text))
    assert found is not None
    assert (found.step, found.tag) == (step, tag)


@pytest.mark.parametrize(
    "text",
    [
        "BEGIN ISOLATION LEVEL REPEATABLE READ",
        "BEGIN ISOLATION LEVEL READ COMMITTED, ISOLATION LEVEL SERIALIZABLE",
        "START TRANSACTION ISOLATION LEVEL SERIALIZABLE",
        "START",
        "BEGIN; SELECT 1",
        "BEGIN; BEGIN",
        "BEGIN ATOMIC",
        'BEGIN "work"',
        "COMMIT AND CHAIN",
        "COMMIT PREPARED 'a'",
        "ROLLBACK PREPARED 'a'",
        "ROLLBACK TO a",
        "ROLLBACK TO SAVEPOINT a",
        "ROLLBACK WORK TO a",
        "PREPARE TRANSACTION 'a'",
        "SAVEPOINT commit",
        "RELEASE a",
        "SELECT 1",
        "",
    ],
)
def test_everything_else_is_for_postgres(text: str) -> None:
    assert block_statement(lex(text)) is None
