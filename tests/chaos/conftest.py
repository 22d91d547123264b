"""One stack for as long as it serves: faults that want the same are played one after the other on the same one."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from tests.chaos import tables
from tests.chaos.fault import Fault
from tests.chaos.ledger import Ledger, ledger_of_code
from tests.chaos.play import Outcome, play
from tests.chaos.stack import Plan, Stack, running_stack


@dataclass(slots=True)
class Theatre:
    """Keeps a stack, and plays faults on it.

    Attributes:
        bulk_rows: How large the large table is.
        ledger: What was played, now and before, on the code as it is.
    """

    bulk_rows: int = tables.BULK_ROWS
    ledger: Ledger = field(default_factory=ledger_of_code)
    _stack: Stack | None = None
    _running: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def play(self, fault: Fault, plan: Plan | None = None) -> Outcome:
        """Play a fault, on a stack as it wants it or as another plan says; a stack that failed is not used again."""
        plan = plan or fault.plan
        stack = self._stack_for(plan)
        try:
            outcome = play(stack, fault)
            fault.clean(stack)
            assert plan.faults or not self.false_alarms, "the auditor of a sound stack took an answer for wrong"
        except BaseException as error:
            error.add_note(stack.logs())
            self.end()
            raise
        if fault.spoils or not outcome.is_clean:
            self.end()
        return outcome

    @property
    def false_alarms(self) -> float:
        """How many answers of the stack, which is a sound one, its auditor took for proven wrong."""
        return 0.0 if self._stack is None else self._stack.proxy.metric("tidegate_audit_violations_total")

    def end(self) -> None:
        """End the stack that runs, if one does."""
        self._stack = None
        self._running.close()

    def _stack_for(self, plan: Plan) -> Stack:
        if self._stack is not None and self._stack.plan == plan:
            return self._stack
        self.end()
        rows = self.bulk_rows if plan.kafka else min(self.bulk_rows, tables.FEW_ROWS)
        self._stack = self._running.enter_context(running_stack(plan, tables.schema(rows)))
        return self._stack


@pytest.fixture(scope="session")
def theatre() -> Iterator[Theatre]:
    """The session's theatre."""
    theatre = Theatre()
    yield theatre
    theatre.end()


@pytest.fixture
def keeps_contract(theatre: Theatre) -> Callable[[Fault], Outcome]:
    """Play a fault, and see that no answer was wrong and nothing is lost."""

    def played(fault: Fault) -> Outcome:
        outcome = theatre.play(fault)
        theatre.ledger.add_row(outcome)
        assert outcome.is_clean, "\n".join(outcome.details[:20])
        assert outcome.hits > 0
        return outcome

    return played
