"""A unix-domain socket to listen on: whose name it takes, whose it does not, and that nobody can slip in another."""

import os
import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.proxy.arrival.unix_socket import UnixSocket
from services.shared.runtime.refusal import Refusal

_PORT = 6432
_NAME = f".s.PGSQL.{_PORT}"


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short path (a socket's has 107 bytes) that is ours alone."""
    with tempfile.TemporaryDirectory(prefix="tidegate-test-") as name:
        yield Path(name)


def _listen(folder: Path, mode: int = 0o777) -> UnixSocket:
    bound = UnixSocket(str(folder), _PORT, mode)
    bound.socket.listen()
    return bound


def _connects(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(path))
        except ConnectionRefusedError:
            return False
    return True


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o700])
def test_it_has_the_name_that_libpq_looks_for_and_the_permissions_that_were_asked_for(folder: Path, mode: int) -> None:
    bound = _listen(folder, mode)

    assert bound.path == folder / _NAME
    assert stat.S_IMODE(bound.path.stat().st_mode) == mode
    assert _connects(bound.path)
    bound.socket.close()


def test_a_missing_directory_is_made_and_others_may_enter_it(folder: Path) -> None:
    umask = os.umask(0o077)
    try:
        bound = _listen(folder / "sockets")
    finally:
        os.umask(umask)

    assert stat.S_IMODE(bound.path.parent.stat().st_mode) == 0o755
    bound.socket.close()


def test_nothing_is_left_of_it_when_it_is_removed(folder: Path) -> None:
    bound = _listen(folder)
    bound.remove()
    bound.socket.close()

    assert list(folder.iterdir()) == []


def test_a_socket_on_which_nobody_answers_is_replaced(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(folder / _NAME))
    (folder / f"{_NAME}.lock").write_text("2147483647\n")  # of a killed server
    assert not _connects(folder / _NAME)

    bound = _listen(folder)

    assert _connects(bound.path)
    assert (folder / f"{_NAME}.lock").read_text() == f"{os.getpid()}\n"  # as Postgres would read it
    bound.socket.close()


def test_a_socket_on_which_somebody_answers_is_left_alone(folder: Path) -> None:
    lock = folder / f"{_NAME}.lock"
    lock.write_text("4242\n/var/lib/postgresql\n")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(folder / _NAME))
        server.listen()

        with pytest.raises(Refusal, match="somebody answers there"):
            _listen(folder)

        assert _connects(folder / _NAME)
    assert lock.read_text() == "4242\n/var/lib/postgresql\n"


def test_a_second_one_of_the_same_name_is_refused_until_the_first_is_removed(folder: Path) -> None:
    first = UnixSocket(str(folder), _PORT, 0o777)  # bound, and not listening yet: nobody answers
    with pytest.raises(Refusal, match="another Tidegate does"):
        _listen(folder)
    first.remove()
    first.socket.close()

    second = _listen(folder)
    assert _connects(second.path)
    second.socket.close()


def test_a_refused_one_leaves_no_lock_of_its_own_behind(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(folder / _NAME))
        server.listen()
        with pytest.raises(Refusal):
            _listen(folder)

    assert [path.name for path in folder.iterdir()] == [_NAME]


def test_what_has_taken_its_place_meanwhile_is_not_removed(folder: Path) -> None:
    bound = _listen(folder)
    bound.path.unlink()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(bound.path))
        bound.remove()

        assert bound.path.exists()
    bound.socket.close()


def test_a_file_that_is_no_socket_is_not_replaced(folder: Path) -> None:
    (folder / _NAME).write_text("precious")
    with pytest.raises(Refusal, match="no socket"):
        _listen(folder)

    assert (folder / _NAME).read_text() == "precious"


def test_a_link_in_place_of_the_lock_is_not_followed(folder: Path) -> None:
    target = folder / "precious"
    target.write_text("precious")
    (folder / f"{_NAME}.lock").symlink_to(target)
    with pytest.raises(Refusal, match="cannot listen on"):
        _listen(folder)

    assert target.read_text() == "precious"


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o733])
def test_a_directory_where_others_may_write_is_refused(folder: Path, mode: int) -> None:
    folder.chmod(mode)
    with pytest.raises(Refusal, match="others may write there"):
        _listen(folder)


def test_a_directory_like_tmp_may_be_used(folder: Path) -> None:
    folder.chmod(0o1777)
    bound = _listen(folder)
    assert _connects(bound.path)
    bound.socket.close()


def test_a_path_that_is_too_long_is_refused_by_name(folder: Path) -> None:
    with pytest.raises(Refusal, match="107 bytes at most"):
        _listen(folder / ("x" * 100))


def test_a_directory_that_cannot_be_made_is_refused(folder: Path) -> None:
    with pytest.raises(Refusal, match="No such file or directory"):
        _listen(folder / "missing" / "too")
    (folder / "file").write_text("")
    with pytest.raises(Refusal, match="no directory"):
        _listen(folder / "file")
