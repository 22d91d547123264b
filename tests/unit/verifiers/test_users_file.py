"""The users file on disk: who may read it, when it is read again, and how it is rewritten."""

import asyncio
import os
import stat
import threading
from pathlib import Path

import pytest

from services.proxy.scram.verifier import Verifier
from services.proxy.verifiers.absence import Absence
from services.proxy.verifiers.userlist import Userlist
from services.proxy.verifiers.users_file import UsersFile, change_userlist, read_userlist
from services.shared.runtime.refusal import Refusal
from tests.unit.scram.exchanges import CHALLENGE, VERIFIER

LINE = f'"ada" "{VERIFIER.format()}"\n'


def written(path: Path, text: str = LINE, mode: int = 0o600) -> Path:
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path


def look_up(file: UsersFile, name: str) -> Verifier | Absence:
    return asyncio.run(file.look_up(name, CHALLENGE))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "users.txt"


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o400])
def test_it_is_read(path: Path, mode: int) -> None:
    file = UsersFile(written(path, mode=mode))
    assert look_up(file, "ada") == VERIFIER
    assert look_up(file, "bob") is Absence.UNKNOWN


@pytest.mark.parametrize("mode", [0o604, 0o602, 0o601, 0o644, 0o666])
def test_one_that_the_world_may_read_or_write_is_refused(path: Path, mode: int) -> None:
    with pytest.raises(Refusal, match=f"others may read or write it, and it holds secrets; run: chmod 600 {path}"):
        UsersFile(written(path, mode=mode))
    with pytest.raises(Refusal, match="chmod 600"):
        change_userlist(path, lambda userlist: userlist)


@pytest.mark.parametrize(
    ("text", "why"),
    [("ada hunter2", "line 1 is not of the form"), ('"ada" "x"\n"ada" "hunter2"', "line 2 is the second one")],
)
def test_one_that_is_no_users_file_is_refused(path: Path, text: str, why: str) -> None:
    with pytest.raises(Refusal, match=why) as refused:
        UsersFile(written(path, text))
    assert str(path) in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_one_that_is_not_there_or_cannot_be_read_is_refused(path: Path) -> None:
    with pytest.raises(Refusal, match="there is no such file; `tidegate user add NAME` makes it"):
        UsersFile(path)
    path.mkdir()
    with pytest.raises(Refusal, match="cannot be read"):
        UsersFile(path)
    path.rmdir()
    path.write_bytes(b"\xff")
    path.chmod(0o600)
    with pytest.raises(Refusal, match="not UTF-8"):
        UsersFile(path)


def test_a_change_is_seen_at_the_next_login(path: Path) -> None:
    file = UsersFile(written(path))
    change_userlist(path, lambda userlist: userlist.with_user("bob", VERIFIER).without_user("ada"))
    assert look_up(file, "bob") == VERIFIER
    assert look_up(file, "ada") is Absence.UNKNOWN


def test_while_it_is_no_good_the_earlier_content_counts(path: Path) -> None:
    """Postgres decides about the login anyway, so nothing is lost by letting in who has just been taken out."""
    file = UsersFile(written(path))
    for spoil in (lambda: written(path, "half a li"), lambda: written(path, "", 0o644), path.unlink):
        spoil()
        assert look_up(file, "ada") == VERIFIER
    written(path, "# nobody any more\n")
    assert look_up(file, "ada") is Absence.UNKNOWN


def test_a_new_file_is_for_its_owner_alone(path: Path) -> None:
    old = os.umask(0)
    try:
        change_userlist(path, lambda userlist: userlist.with_user("ada", VERIFIER))
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text(encoding="utf-8") == LINE
    assert list(path.parent.iterdir()) == [path]


def test_a_rewritten_file_keeps_mode_comments_and_link(path: Path, tmp_path: Path) -> None:
    written(path, f"# ours\n{LINE}", 0o640)
    link = tmp_path / "link"
    link.symlink_to(path)
    change_userlist(link, lambda userlist: userlist.with_user("bob", VERIFIER))
    assert link.is_symlink()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert path.read_text(encoding="utf-8") == f"# ours\n{LINE}" + LINE.replace("ada", "bob")


def test_a_change_that_fails_leaves_everything_as_it_was(path: Path) -> None:
    written(path)

    def fail(userlist: Userlist) -> Userlist:
        raise Refusal("no")

    with pytest.raises(Refusal, match="no"):
        change_userlist(path, fail)
    assert path.read_text(encoding="utf-8") == LINE
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="cannot be written"):
        change_userlist(tmp_path / "absent" / "users.txt", lambda userlist: userlist)


def test_a_file_of_another_user_stays_readable_to_that_user(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(path)
    given: list[tuple[int, int]] = []
    monkeypatch.setattr("os.geteuid", lambda: os.getuid() + 1)
    monkeypatch.setattr("os.fchown", lambda handle, uid, gid: given.append((uid, gid)))
    change_userlist(path, lambda userlist: userlist.with_user("bob", VERIFIER))
    assert given == [(os.getuid(), path.stat().st_gid)]

    def refuse(handle: int, uid: int, gid: int) -> None:
        raise PermissionError

    monkeypatch.setattr("os.fchown", refuse)
    with pytest.raises(Refusal, match="belongs to another user"):
        change_userlist(path, lambda userlist: userlist.without_user("bob"))
    assert "bob" in read_userlist(path).verifiers


def test_changes_at_the_same_time_are_all_kept(path: Path) -> None:
    written(path, "")
    threads = [
        threading.Thread(
            target=change_userlist, args=(path, lambda userlist, n=n: userlist.with_user(f"u{n}", VERIFIER))
        )
        for n in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(read_userlist(path).verifiers) == {f"u{n}" for n in range(12)}
