"""A connection that notes what it executes, so that people see the very statements; or that only notes them."""

import inspect
from typing import Any

from services.cdc.control import ControlConnection


class NotedConnection(ControlConnection):
    """A control connection that notes what it executes."""

    def __init__(self, connection: Any, application_name: str) -> None:
        super().__init__(connection, application_name)
        self.noted: list[str] = []
        """Statements, one after the other, without semicolons at their ends."""

    async def execute(self, sql: str) -> None:
        """Run statements, and note them when they have succeeded."""
        await super().execute(sql)
        self._note(sql)

    def _note(self, sql: str) -> None:
        self.noted.append(inspect.cleandoc(sql).strip().removesuffix(";"))


class RehearsedConnection(NotedConnection):
    """One that runs what it is asked to `fetch` and only notes what it is asked to execute."""

    async def execute(self, sql: str) -> None:
        """Note statements as if they had succeeded."""
        self._note(sql)
