"""Answers of the query, remembered for some seconds, so that a pool that opens asks once. Pure.

An answer is remembered together with what Postgres asked the client for, its salt: whoever gets another password gets
another salt, and so does whoever gets a first one (before, it is one that Postgres makes up). What is remembered is of
no use then, so nobody has to wait for it to be forgotten. Answers are kept equally long whatever they are: how long a
login takes must not tell who exists. They are bounded in number, because names come from strangers.
"""

from collections import OrderedDict
from typing import Final, NamedTuple

from services.proxy.scram.verifier import Challenge, Verifier
from services.proxy.verifiers.absence import Absence

REMEMBERED_SECONDS: Final = 10.0
MAX_VERIFIERS: Final = 10_000
MAX_ABSENCES: Final = 1_000


class _Kept(NamedTuple):
    answer: Verifier | Absence
    challenge: Challenge
    until: float


class Remembered:
    """The newest answers; the oldest make room."""

    def __init__(self) -> None:
        self._verifiers: OrderedDict[str, _Kept] = OrderedDict()
        self._absences: OrderedDict[str, _Kept] = OrderedDict()

    def __len__(self) -> int:
        return len(self._verifiers) + len(self._absences)

    def get(self, name: str, challenge: Challenge, now: float) -> Verifier | Absence | None:
        """Return what the answer is; None when it has to be asked for.

        Args:
            name: The role.
            challenge: What Postgres has asked for.
            now: The time in seconds, on any clock that never goes back.
        """
        kept = self._verifiers.get(name) or self._absences.get(name)
        if kept is None or kept.challenge != challenge or kept.until <= now:
            return None
        return kept.answer

    def put(self, name: str, challenge: Challenge, answer: Verifier | Absence, now: float) -> None:
        """Remember an answer."""
        self._verifiers.pop(name, None)
        self._absences.pop(name, None)
        kept, most = (
            (self._verifiers, MAX_VERIFIERS) if isinstance(answer, Verifier) else (self._absences, MAX_ABSENCES)
        )
        kept[name] = _Kept(answer, challenge, now + REMEMBERED_SECONDS)
        if len(kept) > most:
            kept.popitem(last=False)
