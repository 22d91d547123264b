"""Is this record the one that should come next? Gap detection for one partition; consistency contract, section 5.

Every record carries its stream epoch and a position (i, k): the incarnation of the CDC service that wrote it, and a
count without gaps within that incarnation. Epochs are compared first, positions only inside one epoch.

    within the chain's own epoch      OTHER        RESUME(F)                EPOCH
    at or below the chain's position  DUPLICATE    DUPLICATE                DUPLICATE
    (i, k + 1)                        NEXT         GAP                      GAP
    (a newer incarnation, 0)          GAP          RESUME if c >= F         NEW_EPOCH
                                                   else GAP
    anything else                     GAP          GAP                      GAP

    of another epoch
    left earlier, or of a lower       IGNORED      IGNORED                  IGNORED
    timeline of the same system
    any other                         GAP          GAP                      NEW_EPOCH at (i, 0), else GAP

A new incarnation may be joined on to the old one's records only if its decoding began at or below c, the *settled* LSN
of the last watermark that was applied: below c everything has been published, whereas a watermark's w only tells what
was visible. The caller reads c from where it is stored with the effects, and never from its memory.

Pure. After a GAP the chain has not moved, and says GAP again: the caller makes a new one where it goes on.
"""

from dataclasses import dataclass
from enum import Enum, auto

from services.shared.epoch import StreamEpoch
from services.shared.lsn import NO_LSN, Lsn
from services.shared.position import Position


class LinkKind(Enum):
    """What a record means for the chain."""

    EPOCH = auto()  # starts a stream epoch
    RESUME = auto()  # starts an incarnation
    OTHER = auto()  # everything else


@dataclass(frozen=True, slots=True)
class Link:
    """What the chain looks at in a record.

    Attributes:
        epoch: Text of the stream epoch that the record carries.
        position: Its position.
        kind: What it means for the chain.
        resume_from: F of a RESUME: where decoding began.
    """

    epoch: str
    position: Position
    kind: LinkKind
    resume_from: Lsn = NO_LSN


class Verdict(Enum):
    """What to do with a record."""

    NEXT = auto()  # apply it
    RESUME = auto()  # apply it: a new incarnation goes on without a loss
    NEW_EPOCH = auto()  # start a new bucket epoch at this record
    DUPLICATE = auto()  # it was applied before: no effect
    IGNORED = auto()  # it belongs to a history that has been left: no effect
    GAP = auto()  # something is missing: start a new bucket epoch


class _Step(Enum):
    """How a position lies to the chain's, inside one epoch."""

    BACK = auto()
    NEXT = auto()
    FIRST = auto()
    JUMP = auto()


_MOVES = frozenset({Verdict.NEXT, Verdict.RESUME, Verdict.NEW_EPOCH})

_WITHIN = {
    (_Step.BACK, LinkKind.OTHER): Verdict.DUPLICATE,
    (_Step.BACK, LinkKind.RESUME): Verdict.DUPLICATE,
    (_Step.BACK, LinkKind.EPOCH): Verdict.DUPLICATE,
    (_Step.NEXT, LinkKind.OTHER): Verdict.NEXT,
    (_Step.FIRST, LinkKind.RESUME): Verdict.RESUME,
    (_Step.FIRST, LinkKind.EPOCH): Verdict.NEW_EPOCH,
}
"""What stands at a step of the same epoch; whatever is not listed is a gap."""


class Chain:
    """How far one partition has been followed, and what may come next."""

    def __init__(self, epoch: str, position: Position) -> None:
        """Go on after a record.

        Args:
            epoch: Text of the stream epoch of the last record that was applied; empty before the first epoch.
            position: Position of that record.
        """
        self._epoch = epoch
        self._position = position
        self._left: set[str] = set()  # epochs that an epoch record has ended while this chain was followed

    @property
    def epoch(self) -> str:
        """Stream epoch of the last record that was accepted."""
        return self._epoch

    @property
    def position(self) -> Position:
        """Position of the last record that was accepted."""
        return self._position

    def accept(self, link: Link, settled: Lsn) -> Verdict:
        """Judge a record, and move on to it if it is to be applied.

        Args:
            link: The record.
            settled: c of the last watermark of this partition that was applied, as stored beside the effects.
        """
        verdict = self._judge(link, settled)
        if verdict in _MOVES:
            if link.epoch != self._epoch:
                self._left.add(self._epoch)
                self._epoch = link.epoch
            self._position = link.position
        return verdict

    def _judge(self, link: Link, settled: Lsn) -> Verdict:
        if link.epoch != self._epoch:
            return self._judge_stranger(link)
        verdict = _WITHIN.get((self._step(link.position), link.kind), Verdict.GAP)
        if verdict is Verdict.RESUME and settled < link.resume_from:
            return Verdict.GAP
        return verdict

    def _step(self, position: Position) -> _Step:
        here = self._position
        if position <= here:
            return _Step.BACK
        if position.incarnation == here.incarnation:
            return _Step.NEXT if position.k == here.k + 1 else _Step.JUMP
        return _Step.FIRST if position.k == 0 else _Step.JUMP

    def _judge_stranger(self, link: Link) -> Verdict:
        """Judge a record of another stream epoch: only an epoch record leads from one to the next."""
        if link.epoch in self._left or _is_lower_timeline(link.epoch, self._epoch):
            return Verdict.IGNORED
        if link.kind is LinkKind.EPOCH and link.position.k == 0:
            return Verdict.NEW_EPOCH
        return Verdict.GAP


def _is_lower_timeline(text: str, current_text: str) -> bool:
    """Tell whether an epoch is of an earlier timeline of the same system: of a primary that has been replaced."""
    if not current_text:
        return False
    epoch, current = StreamEpoch.parse(text), StreamEpoch.parse(current_text)
    return epoch.system == current.system and int(epoch.timeline, 16) < int(current.timeline, 16)
