"""What workers tell each other of acknowledged writes, through a file that they share."""

import subprocess
import sys
from pathlib import Path

import pytest

from services.proxy.session.write_scope import Written
from services.proxy.worker.peer_writes import PeerWrites
from services.shared.runtime.lifecycle import Refusal

COUNT = 3
A, B = 11, 13


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "tidegate" / "main-6432.writes"


@pytest.fixture
def workers(file: Path) -> list[PeerWrites]:
    return [PeerWrites(file, COUNT, index) for index in range(COUNT)]


def test_the_others_hear_once_what_one_tells(workers: list[PeerWrites]) -> None:
    teller, *others = workers
    assert [worker.unheard for worker in workers] == [False, False, False]
    teller.tell(A, [5, None])
    assert [worker.unheard for worker in workers] == [False, True, True]
    for worker in others:
        assert worker.take() == [Written(A, 5), Written(A, None)]
        assert worker.take() == []
    assert [worker.unheard for worker in workers] == [False, False, False]


def test_what_one_tells_hides_nothing_of_what_another_has_told(workers: list[PeerWrites]) -> None:
    first, second, third = workers
    first.tell(A, [5])
    second.tell(B, [6])
    assert second.take() == [Written(A, 5)]
    assert third.take() == [Written(A, 5), Written(B, 6)]
    assert first.take() == [Written(B, 6)]


@pytest.mark.parametrize("count", [1023, 1024])
def test_a_ring_holds_so_many(workers: list[PeerWrites], count: int) -> None:
    for number in range(count):
        workers[0].tell(A, [number + 1])
    assert workers[1].take() == [Written(A, number + 1) for number in range(count)]


def test_who_was_away_for_longer_knows_of_nothing_that_was_not_written(workers: list[PeerWrites]) -> None:
    workers[0].tell(A, range(1, 1026))
    assert workers[1].take() == [Written(None, None)]
    workers[0].tell(B, [7])
    assert workers[1].take() == [Written(B, 7)]


def test_a_worker_that_is_replaced_goes_on_where_the_old_one_was(workers: list[PeerWrites], file: Path) -> None:
    workers[0].tell(A, [5])
    again = PeerWrites(file, COUNT, 0)
    assert not again.unheard
    again.tell(A, [6])
    assert workers[1].take() == [Written(A, 5), Written(A, 6)]


def test_nobody_else_may_write_there(file: Path) -> None:
    file.parent.mkdir(mode=0o755)
    with pytest.raises(Refusal, match=r"TIDEGATE_TOKEN_SCOPE.*others may write"):
        PeerWrites(file, COUNT, 0)
    elsewhere = file.parent.parent / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    (elsewhere / file.name).symlink_to(file)
    with pytest.raises(Refusal):
        PeerWrites(elsewhere / file.name, COUNT, 0)


def test_a_place_is_one_process_s_alone(file: Path) -> None:
    """Two who write to one ring would hide each other's writes."""
    program = f"""
import subprocess
import sys
from pathlib import Path
from services.proxy.worker.peer_writes import PeerWrites
place = PeerWrites(Path({str(file)!r}), {COUNT}, 1)
print("taken", flush=True)
input()
"""
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"taken\n"
        PeerWrites(file, COUNT, 0)
        with pytest.raises(Refusal, match="another process is worker 1"):
            PeerWrites(file, COUNT, 1)
        other.communicate(b"\n")
    PeerWrites(file, COUNT, 1)
