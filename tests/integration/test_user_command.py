"""`tidegate user`: a verifier learned from Postgres's own exchange is the one that Postgres keeps, and nothing else."""

import asyncio
import os
import pty
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.proxy.scram.verifier import Verifier
from services.proxy.users.first_login import learn_verifier
from services.proxy.users.password_login import LoginFailed
from services.proxy.verifiers.users_file import read_userlist
from services.shared.runtime.lifecycle import EXIT_REFUSED, EXIT_WRONG_USE
from services.shared.runtime.upstream import parse_upstream
from tests.servers.certificates import Authority
from tests.servers.postgres import PostgresServer
from tests.servers.postgres_programs import NEWEST, OLDEST
from tests.servers.processes import free_port

WITH_TLS = "17"
_REPOSITORY = Path(__file__).resolve().parents[2]
_ROLES = """
SET password_encryption = 'scram-sha-256';
CREATE ROLE ada LOGIN PASSWORD 'pencil';
CREATE ROLE "Zoë ""q"" " LOGIN PASSWORD 'pass\u00a0wörd';
CREATE ROLE barred NOLOGIN PASSWORD 'pencil';
CREATE ROLE trusted LOGIN PASSWORD 'pencil';
CREATE ROLE plain LOGIN PASSWORD 'pencil';
CREATE ROLE rejected LOGIN PASSWORD 'pencil';
SET password_encryption = 'md5';
CREATE ROLE old LOGIN PASSWORD 'pencil';
"""
_HBA = (
    "host all postgres 127.0.0.1/32 trust",
    "host all rejected 127.0.0.1/32 reject",
    "host all trusted 127.0.0.1/32 trust",
    "host all plain 127.0.0.1/32 password",
    "host all old 127.0.0.1/32 md5",
    "host all all 127.0.0.1/32 scram-sha-256",
)


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with PostgresServer(NEWEST) as started:
        started.execute(_ROLES)
        started.allow(*_HBA)
        yield started


@pytest.fixture(scope="module", params=[NEWEST, OLDEST])
def any_server(request: pytest.FixtureRequest) -> Iterator[PostgresServer]:
    if request.param == NEWEST:
        yield request.getfixturevalue("server")
        return
    with PostgresServer(request.param) as started:
        started.execute(_ROLES)
        started.allow(*_HBA)
        yield started


class Command:
    """Runs `tidegate user …` for one database and one users file."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.file = folder / "users.txt"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("TIDEGATE_")}
        self.environment = kept | {
            "PYTHONPATH": str(_REPOSITORY), "COLUMNS": "200", "NO_COLOR": "1", "HOME": str(folder),
            "TIDEGATE_DATABASE_URL": url, "TIDEGATE_AUTH": "scram", "TIDEGATE_USERS_FILE": "users.txt",
        }  # fmt: skip

    def __call__(self, *arguments: str, stdin: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
        told = subprocess.run(
            [sys.executable, "-m", "services.cli", "user", *arguments],
            input=stdin, capture_output=True, text=True, check=False, cwd=self.folder, timeout=60,
            env=self.environment | {f"TIDEGATE_{name}": value for name, value in variables.items()},
        )  # fmt: skip
        assert "Traceback" not in told.stderr, told.stderr
        assert not stdin.strip() or stdin.strip() not in told.stdout + told.stderr
        return told

    def add(self, name: str, password: str) -> subprocess.CompletedProcess[str]:
        return self("add", name, "--password-stdin", stdin=f"{password}\n")


@pytest.fixture
def command(tmp_path: Path, server: PostgresServer) -> Command:
    return Command(tmp_path, f"{server.url()}?sslmode=disable")


def kept(server: PostgresServer, role: str) -> Verifier:
    ((written,),) = server.execute("SELECT rolpassword FROM pg_authid WHERE rolname = %s", [role])
    return Verifier.parse(written)


def test_what_is_learned_is_what_postgres_keeps(server: PostgresServer, command: Command) -> None:
    for name, password in (("ada", "pencil"), ('Zoë "q" ', "pass\u00a0wörd")):
        told = command.add(name, password)
        assert (told.returncode, told.stderr) == (0, "")
        assert told.stdout == f"{name}: Postgres accepts the password; its verifier is in {command.file}\n"
        assert read_userlist(command.file).find(name) == kept(server, name)
    assert stat.S_IMODE(command.file.stat().st_mode) == 0o600
    assert "pencil" not in command.file.read_text(encoding="utf-8")

    listed = command("list")
    assert listed.stdout == 'ada\tSCRAM-SHA-256, 4096 iterations\nZoë "q" \tSCRAM-SHA-256, 4096 iterations\n'
    assert command("remove", "ada").stdout == f"ada: removed from {command.file}\n"
    assert list(read_userlist(command.file).verifiers) == ['Zoë "q" ']
    again = command("remove", "ada")
    assert (again.returncode, again.stderr) == (
        EXIT_REFUSED,
        f"tidegate user remove: ada is not in {command.file}.\n",
    )


def test_after_a_new_password_it_is_added_again(server: PostgresServer, command: Command) -> None:
    server.execute("DROP ROLE IF EXISTS changing; CREATE ROLE changing LOGIN PASSWORD 'pencil one'")
    assert command.add("changing", "pencil one").returncode == 0
    server.execute("ALTER ROLE changing PASSWORD 'pencil two'")
    refused = command.add("changing", "pencil one")
    assert refused.returncode == EXIT_REFUSED
    assert command.add("changing", "pencil two").returncode == 0
    assert read_userlist(command.file).verifiers == {"changing": kept(server, "changing")}


@pytest.mark.parametrize(
    ("name", "password", "told"),
    [
        ("ada", "wrong password", 'password authentication failed for user "ada": it is wrong, or has expired, or '),
        ("nobody", "any password", 'password authentication failed for user "nobody": it is wrong, or has expired'),
        ("barred", "pencil", 'Postgres refuses: role "barred" is not permitted to log in'),
        ("rejected", "pencil", "Postgres refuses: pg_hba.conf rejects connection"),
        ("trusted", "pencil", "Postgres lets trusted in without asking for a password"),
        ("plain", "pencil", "Postgres asks for the password itself"),
        ("old", "pencil", "Postgres asks for an MD5 hash: the password of old is stored as one. Set it anew"),
    ],
)
def test_how_postgres_refuses_is_told(any_server: PostgresServer, name: str, password: str, told: str) -> None:
    with pytest.raises(LoginFailed) as refused:
        asyncio.run(learn_verifier(parse_upstream(any_server.url()), name, password.encode()))
    assert str(refused.value).startswith(told)


def test_what_is_learned_from_any_version_is_what_it_keeps(any_server: PostgresServer) -> None:
    for name, password in (("ada", "pencil"), ('Zoë "q" ', "pass\u00a0wörd")):
        learned = asyncio.run(learn_verifier(parse_upstream(any_server.url()), name, password.encode()))
        assert learned == kept(any_server, name)


def test_nothing_is_stored_where_postgres_does_not_accept_it(command: Command) -> None:
    refused = command.add("ada", "wrong password")
    assert refused.returncode == EXIT_REFUSED
    assert refused.stderr.startswith(
        'tidegate user add: password authentication failed for user "ada": it is wrong, or'
    )
    assert refused.stdout == ""
    assert not command.file.exists()


def test_the_password_is_asked_for_on_a_terminal_and_not_shown(server: PostgresServer, command: Command) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "services.cli", "user", "add", "ada"],
        stdin=theirs, stdout=subprocess.PIPE, stderr=theirs, env=command.environment, cwd=command.folder,
        start_new_session=True,  # or it would ask on the terminal of who runs the tests
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    while b"Password of ada in Postgres: " not in shown:
        shown += os.read(ours, 1024)
    os.write(ours, b"pencil\n")
    output, _ = process.communicate(timeout=60)
    try:
        while more := os.read(ours, 1024):
            shown += more
    except OSError:
        pass  # the other side is closed
    os.close(ours)
    assert process.returncode == 0, shown
    assert b"pencil" not in shown + output
    assert read_userlist(command.file).find("ada") == kept(server, "ada")


def test_where_it_is_used_wrongly(command: Command, tmp_path: Path) -> None:
    for arguments, stdin, variables, told in (
        (["add", "ada"], "pencil", {}, "there is no terminal to ask for the password on; use --password-stdin"),
        (["add", "ada", "--password-stdin"], "", {}, "no password was given"),
        (["add", "ada", "--password-stdin"], "\n", {}, "no password was given"),
        (["add", ""], "pencil", {}, "no role can be called so"),
        (["list"], "", {"USERS_FILE": ""}, "TIDEGATE_USERS_FILE is not set"),
        (["list", "--cache", "other"], "", {}, "say which cache is meant, with --cache: default"),
        (["list"], "", {"MAX_STALENESS": "soon"}, "TIDEGATE_MAX_STALENESS = 'soon'"),
    ):
        refused = command(*arguments, stdin=stdin, **variables)
        assert refused.returncode == EXIT_WRONG_USE, (arguments, refused)
        assert told in refused.stderr
    assert not command.file.exists()
    listed = command("list")
    assert listed.returncode == EXIT_REFUSED
    assert "there is no such file; `tidegate user add NAME` makes it" in listed.stderr


def test_several_caches_are_told_apart(tmp_path: Path, server: PostgresServer) -> None:
    command = Command(tmp_path, server.url())
    for name in ("DATABASE_URL", "AUTH", "USERS_FILE"):
        del command.environment[f"TIDEGATE_{name}"]
    (tmp_path / "tidegate.toml").write_text(
        "\n".join(
            f'[cache.{name}]\ndatabase_url = "{server.url()}"\nlisten = "127.0.0.1:{port}"\nauth = "scram"\n'
            f'users_file = "{name}.txt"\n'
            for name, port in (("shop", 6432), ("bank", 6433))
        ),
        encoding="utf-8",
    )
    assert "--cache: bank, shop" in command("list").stderr
    told = command("add", "ada", "--password-stdin", "--cache", "bank", stdin="pencil\n")
    assert told.returncode == 0, told.stderr
    assert [path.name for path in tmp_path.glob("*.txt")] == ["bank.txt"]


def test_a_postgres_that_is_not_there(tmp_path: Path) -> None:
    command = Command(tmp_path, f"postgresql://ada@127.0.0.1:{free_port()}/postgres")
    refused = command.add("ada", "pencil")
    assert refused.returncode == EXIT_REFUSED
    assert "cannot be reached" in refused.stderr


def test_over_tls_as_the_url_says(tmp_path: Path) -> None:
    authority, stranger = Authority(), Authority()
    try:
        settings = authority.postgres_settings(authority.issue("127.0.0.1"))
        with PostgresServer(WITH_TLS, **settings) as server:
            server.execute(_ROLES)
            server.allow("host all postgres 127.0.0.1/32 trust", "hostssl all all 127.0.0.1/32 scram-sha-256")
            good = Command(tmp_path, f"{server.url()}?sslmode=verify-full&sslrootcert={authority.certificate}")
            told = good.add("ada", "pencil")
            assert told.returncode == 0, told.stderr
            assert read_userlist(good.file).find("ada") == kept(server, "ada")
            bad = Command(tmp_path, f"{server.url()}?sslmode=verify-full&sslrootcert={stranger.certificate}")
            refused = bad.add("ada", "pencil")
            assert refused.returncode == EXIT_REFUSED
            assert "certificate" in refused.stderr
            plain = Command(tmp_path, f"{server.url()}?sslmode=disable").add("ada", "pencil")
            assert 'Postgres refuses: no pg_hba.conf entry for host "127.0.0.1", user "ada"' in plain.stderr
    finally:
        authority.remove()
        stranger.remove()
