"""Whatever a log loses, repeats or shuffles, a settled watermark that passes the chain has everything ahead of it.

The writer is modelled as the contract has it: transactions in the order of their ends, watermarks whose c covers what
was published before them, crashes after which the next incarnation decodes again from a c that Postgres was told, or,
when the slot was advanced or re-created, from further on.
"""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from services.shared.epoch import StreamEpoch
from services.shared.eventlog.chain import Chain, Link, LinkKind, Verdict
from services.shared.lsn import NO_LSN, Lsn
from services.shared.position import START, Position

LSN_STEP = 8


@dataclass(frozen=True)
class Record:
    """A link with what it carries: the end of a transaction, or the c of a watermark, or neither."""

    link: Link
    end: Lsn | None = None
    settled: Lsn | None = None


class Writer:
    """The CDC service, reduced to what it appends."""

    def __init__(self) -> None:
        self.log: list[Record] = []
        self.epochs = 0
        self.watermarks = 0  # confirmed ones of this epoch
        self.incarnation = 0
        self.k = 0
        self.decoded = NO_LSN  # end of the last transaction that was published in this incarnation
        self.confirmed = NO_LSN

    @property
    def epoch(self) -> str:
        return str(StreamEpoch("1", 1, "00000001", f"canary{self.epochs}", "slot", "log"))

    def start_epoch(self) -> None:
        """Begin a new history; its LSNs may begin anywhere."""
        self.epochs += 1
        self.watermarks = 0
        self._start(LinkKind.EPOCH, self.decoded)

    def restart(self, lost: int) -> None:
        """Crash and go on where Postgres was told to, or `lost` transactions further on."""
        if self.watermarks == 0:  # decoding would begin beyond the last c that the log holds
            self.start_epoch()
            return
        self._start(LinkKind.RESUME, Lsn(self.confirmed + lost * LSN_STEP))

    def commit(self) -> None:
        self.decoded = Lsn(self.decoded + LSN_STEP)
        self._append(LinkKind.OTHER, end=self.decoded)

    def watermark(self, confirm: bool) -> None:
        self._append(LinkKind.OTHER, settled=self.decoded)
        if confirm:
            self.confirmed = self.decoded
            self.watermarks += 1

    def _start(self, kind: LinkKind, decode_from: Lsn) -> None:
        self.incarnation, self.k = self.incarnation + 1, -1
        self.decoded = self.confirmed = decode_from
        self._append(kind, resume_from=decode_from)

    def _append(
        self, kind: LinkKind, end: Lsn | None = None, settled: Lsn | None = None, resume_from: Lsn = NO_LSN
    ) -> None:
        self.k += 1
        position = Position(Lsn(self.incarnation), self.k)
        self.log.append(Record(Link(self.epoch, position, kind, resume_from), end, settled))


@st.composite
def logs(draw: st.DrawFn, slot_is_kept: bool = False) -> list[Record]:
    action = st.one_of(
        st.just(("commit",)),
        st.just(("commit",)),
        st.tuples(st.just("watermark"), st.booleans()),
        st.tuples(st.just("restart"), st.just(0) if slot_is_kept else st.sampled_from([0, 0, 1, 5])),
        st.just(("start_epoch",)),
    )
    writer = Writer()
    writer.start_epoch()
    for name, *arguments in draw(st.lists(action, min_size=5, max_size=40)):
        getattr(writer, name)(*arguments)
    return writer.log


@st.composite
def damaged(draw: st.DrawFn, log: list[Record]) -> list[Record]:
    """Drop, repeat and move a few records."""
    result = list(log)
    for _ in range(draw(st.integers(0, 4))):
        if not result:
            break
        source = draw(st.integers(0, len(result) - 1))
        match draw(st.sampled_from(["drop", "repeat", "move"])):
            case "drop":
                del result[source]
            case "repeat":
                result.insert(draw(st.integers(source, len(result))), result[source])
            case _:
                record = result.pop(source)
                result.insert(draw(st.integers(0, len(result))), record)
    return result


def apply(log: list[Record]) -> list[Verdict]:
    """Follow a log, checking at every watermark that nothing below its c was missed; stop at the first gap."""
    chain, settled, base = Chain("", START), NO_LSN, NO_LSN
    applied: set[Lsn] = set()
    verdicts = []
    for record in log:
        verdict = chain.accept(record.link, settled)
        verdicts.append(verdict)
        match verdict:
            case Verdict.GAP:
                return verdicts
            case Verdict.NEW_EPOCH:
                applied, settled, base = set(), NO_LSN, record.link.resume_from
            case Verdict.NEXT if record.end is not None:
                applied.add(record.end)
            case Verdict.NEXT if record.settled is not None:
                settled = record.settled
                expected = {Lsn(lsn) for lsn in range(base + LSN_STEP, settled + 1, LSN_STEP)}
                assert expected <= applied
            case _:
                pass
    return verdicts


@given(logs())
def test_wal_that_was_never_decoded_is_noticed(log: list[Record]) -> None:
    apply(log)


@given(st.data())
def test_no_settled_watermark_passes_ahead_of_a_lost_change(data: st.DataObject) -> None:
    apply(data.draw(damaged(data.draw(logs()))))


@given(logs(slot_is_kept=True))
def test_an_undamaged_log_has_no_gap(log: list[Record]) -> None:
    assert set(apply(log)) <= {Verdict.NEXT, Verdict.RESUME, Verdict.NEW_EPOCH}


@given(logs(), st.data())
def test_repeating_a_stretch_changes_nothing(log: list[Record], data: st.DataObject) -> None:
    """At-least-once delivery: whatever was applied may come again, any number of times, of any age."""
    chain = Chain("", START)
    for count, record in enumerate(log, start=1):
        if chain.accept(record.link, Lsn(2**63)) is Verdict.GAP:
            break
        here = chain.epoch, chain.position
        for old in data.draw(st.lists(st.sampled_from(log[:count]), max_size=3)):
            assert chain.accept(old.link, Lsn(2**63)) in {Verdict.DUPLICATE, Verdict.IGNORED}
        assert (chain.epoch, chain.position) == here


@given(logs(), st.data())
def test_one_lost_record_is_noticed_before_the_next_of_its_incarnation(log: list[Record], data: st.DataObject) -> None:
    dropped = data.draw(st.integers(0, len(log) - 1))
    lost, rest = log[dropped].link, log[dropped + 1 :]
    chain = Chain("", START)
    for record in log[:dropped]:
        chain.accept(record.link, Lsn(2**63))

    for record in rest:
        if record.link.position.incarnation != lost.position.incarnation:
            break
        assert chain.accept(record.link, Lsn(2**63)) is Verdict.GAP


@given(logs(), st.data())
def test_one_record_that_comes_too_late_is_noticed_before_it_comes(log: list[Record], data: st.DataObject) -> None:
    late = data.draw(st.integers(0, len(log) - 1))
    chain = Chain("", START)
    for record in log[:late]:
        chain.accept(record.link, Lsn(2**63))
    behind = [r.link for r in log[late + 1 :] if r.link.position.incarnation == log[late].link.position.incarnation]
    overtaking = behind[: data.draw(st.integers(0, len(behind)))]

    assert {chain.accept(link, Lsn(2**63)) for link in overtaking} <= {Verdict.GAP}
