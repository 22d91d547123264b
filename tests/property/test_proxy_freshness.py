"""Freshness against a model that remembers everything: whatever happens, no later deadline than the proven one."""

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from services.proxy.cache.freshness import Freshness, Probe
from services.shared.lsn import NO_LSN, Lsn
from tests.unit.proxy.manual_clock import ManualClock

MAX_STALENESS = 1.0
SPAN = MAX_STALENESS - 0.010 - 0.01 * MAX_STALENESS

steps = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), st.sampled_from([0.001, 0.05, 0.3, 0.98, 5.0])),
        st.tuples(st.just("send"), st.none()),
        st.tuples(st.just("answer"), st.integers(0, 40)),  # how far the insert LSN has come since the last answer
        st.tuples(st.just("go back"), st.integers(1, 400)),
        st.tuples(st.just("advance"), st.integers(0, 60)),
        st.tuples(st.just("drop"), st.none()),
        st.tuples(st.just("restart"), st.integers(0, 200)),
    ),
    max_size=60,
)


@dataclass
class Model:
    """Every answer of the present history, and the watermark."""

    watermark: Lsn = NO_LSN
    answers: list[tuple[Probe, Lsn]] = field(default_factory=list)
    last_lsn: Lsn = NO_LSN
    sent: int = 0  # number of the last probe that was sent
    worthless: int = 0  # number of the last probe that was sent before everything was forgotten

    def forget(self) -> None:
        self.answers.clear()
        self.last_lsn = NO_LSN
        self.worthless = self.sent

    def answer(self, probe: Probe, lsn: Lsn) -> None:
        if probe.number <= self.worthless:
            return
        if lsn < self.last_lsn:
            self.forget()
            return
        self.answers.append((probe, lsn))
        self.last_lsn = lsn

    def covered(self) -> list[Probe]:
        return [probe for probe, lsn in self.answers if lsn < self.watermark]


@given(steps)
def test_nothing_is_served_that_no_covered_probe_proves(script: list[tuple[str, float | int | None]]) -> None:
    clock = ManualClock()
    freshness, model = Freshness(MAX_STALENESS, clock), Model()
    lsn = Lsn(400)
    under_way: list[Probe] = []
    for step, amount in script:
        match step, amount:
            case "wait", float(seconds):
                clock.advance(seconds)
            case "send", _:
                under_way.append(freshness.send())
                model.sent += 1
            case (("answer" | "go back"), int(by)) if under_way:
                lsn = Lsn(lsn + by) if step == "answer" else Lsn(max(0, lsn - by))
                probe = under_way.pop(0)
                freshness.answer(probe, lsn)
                model.answer(probe, lsn)
            case "advance", int(by):
                model.watermark = Lsn(max(model.watermark, lsn) + by)
                freshness.advance(model.watermark)
            case "drop", _:
                freshness.drop()
                model.forget()
            case "restart", int(watermark):
                model.watermark = Lsn(watermark)
                freshness.restart(model.watermark)
                model.forget()
            case _:
                continue
        covered = model.covered()
        proven = max((probe.sent_at for probe in covered), default=None)
        if proven is None:
            assert freshness.deadline == 0.0
        elif freshness.is_fresh() or clock() < proven + SPAN:
            # While anything is fresh, the deadline is the proven one and no other.
            assert freshness.deadline == proven + SPAN
            assert freshness.covered == covered[-1].number
        assert freshness.covered < freshness.next_number
        assert len(freshness._answers) <= len(model.answers)
