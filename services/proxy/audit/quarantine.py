"""Templates whose answers are neither served nor kept, because one of them was proven wrong.

Each worker goes by its own set, which its look-ups consult. What one worker finds it tells the others through a hash in
Redis, that all of them read every second, and that those who start find. A loss in Redis releases nothing: whoever
knows of a template writes it again. It is released by a person (`tidegate quarantine release`), which is noted in the
same place, since silence there means nothing.
"""

import asyncio
from collections.abc import Callable, Iterable

import structlog

from services.shared.keyspace.quarantined import Quarantined, QuarantineList
from services.shared.keyspace.runner import BucketUnavailable
from services.shared.runtime.waiting import wait_at_most

_POLL_SECONDS = 1.0

_log = structlog.get_logger()


class Quarantine:
    """What one worker holds back.

    Attributes:
        templates: Texts of the templates; look-ups ask for them.
    """

    def __init__(self, drop: Callable[[str], None]) -> None:
        """Begin with nothing.

        Args:
            drop: Removes the answers of a template from this worker's memory.
        """
        self._drop = drop
        self._known: dict[str, Quarantined] = {}
        self._untold: set[str] = set()  # ids of what this worker found, and the others do not know
        self._told = asyncio.Event()
        self.templates: frozenset[str] = frozenset()

    def add(self, template: str) -> Quarantined:
        """Hold a template back from now on, in this worker at once."""
        found = Quarantined.now(template)
        self._untold.add(found.id)
        self._hold(found)
        self._told.set()
        return found

    async def share(self, shared: QuarantineList) -> None:
        """Tell the other workers, and hear of theirs, for ever. Cancel-safe: yes."""
        while True:
            try:
                await self.exchange(shared)
            except BucketUnavailable as error:
                _log.debug("the quarantine could not be shared", error=str(error))
            await wait_at_most(self._told, _POLL_SECONDS)
            self._told.clear()

    async def exchange(self, shared: QuarantineList) -> None:
        """Tell Redis what it does not know, and go by what stands there."""
        for identifier in tuple(self._untold):
            await shared.put(self._known[identifier])
            self._untold.discard(identifier)
        found = await shared.all()
        self.hear(found)
        for identifier in self._known.keys() - {one.id for one in found}:
            await shared.restore(self._known[identifier])  # Redis has lost it

    def hear(self, found: Iterable[Quarantined]) -> None:
        """Go by what stands in Redis."""
        for one in found:
            if one.id in self._untold:
                continue  # what was found here since it was read is the newer truth
            if one.released and one.id in self._known:
                self._release(one)
            elif not one.released and one.id not in self._known:
                self._hold(one)
                _log.error("a template is quarantined: an answer of it was proven wrong", **_said(one))

    def _hold(self, one: Quarantined) -> None:
        self._known[one.id] = one
        self.templates |= {one.template}
        self._drop(one.template)

    def _release(self, one: Quarantined) -> None:
        del self._known[one.id]
        self.templates -= {one.template}
        self._drop(one.template)  # what was still under way when it was quarantined
        _log.warning("a template is cached again: it was released from quarantine", **_said(one))


def _said(one: Quarantined) -> dict[str, str]:
    return {"template": one.template, "quarantine": one.id}
