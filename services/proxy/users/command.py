"""`tidegate user`: whose passwords the proxy can check, where Postgres shows its verifiers to nobody.

A password is asked for once and kept nowhere: the users file holds verifiers.
"""

import asyncio
import getpass
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from services.proxy.scram.verifier import MECHANISM, Verifier
from services.proxy.verifiers.role_name import role_name
from services.proxy.verifiers.userlist import InvalidUserlist, Userlist
from services.shared.runtime.command_line import cache_or_fail, fail, settings_or_fail
from services.shared.runtime.lifecycle import EXIT_REFUSED, EXIT_WRONG_USE
from services.shared.runtime.redaction import mask_secrets
from services.shared.runtime.refusal import Refusal
from services.shared.runtime.settings import CacheSettings

user_app = typer.Typer(help="Whose passwords the proxy can check (auth = scram).", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The role's name in Postgres.")]
Cache = Annotated[str | None, typer.Option("--cache", help="The cache, where there are several.")]


@user_app.command("add")
def add(
    name: Name,
    *,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from the first line of standard input.")
    ] = False,
    cache: Cache = None,
) -> None:
    """Ask for a user's password, log in to Postgres with it, and store the verifier; again after a new password."""
    settings, path = _users_file("user add", cache)
    role = role_name(name)
    if not role:
        fail("user add", "no role can be called so", EXIT_WRONG_USE)
    password = _read_password(name, password_stdin)
    from services.proxy.users.first_login import learn_verifier
    from services.proxy.users.password_login import LoginFailed
    from services.proxy.verifiers.users_file import change_userlist

    def with_user(userlist: Userlist) -> Userlist:
        return userlist.with_user(role, verifier)

    with _refusals("user add"):
        try:
            verifier = asyncio.run(learn_verifier(settings.upstream, role, password))
        except LoginFailed as failed:
            raise Refusal(f"{failed}.") from failed
        try:
            change_userlist(path, with_user)
        except InvalidUserlist as error:
            raise Refusal(f"{path}: {error}.") from error
    typer.echo(f"{role}: Postgres accepts the password; its verifier is in {path}")


@user_app.command("list")
def list_users(cache: Cache = None) -> None:
    """Print who is in the users file."""
    _, path = _users_file("user list", cache)
    from services.proxy.verifiers.users_file import read_userlist

    with _refusals("user list"):
        userlist = read_userlist(path)
    for name, verifier in userlist.verifiers.items():
        kind = (
            f"{MECHANISM}, {verifier.iterations} iterations"
            if isinstance(verifier, Verifier)
            else (f"no {MECHANISM} verifier: not used")
        )
        typer.echo(f"{name}\t{kind}")


@user_app.command("remove")
def remove(name: Name, cache: Cache = None) -> None:
    """Take a user out of the users file; whoever has the role's password can still log in to Postgres."""
    _, path = _users_file("user remove", cache)
    from services.proxy.verifiers.users_file import change_userlist

    def without_user(userlist: Userlist) -> Userlist:
        if name not in userlist.verifiers:
            raise Refusal(f"{name} is not in {path}.")
        return userlist.without_user(name)

    with _refusals("user remove"):
        change_userlist(path, without_user)
    typer.echo(f"{name}: removed from {path}")


def _users_file(command: str, cache: str | None) -> tuple[CacheSettings, Path]:
    settings = cache_or_fail(command, settings_or_fail(command), cache)
    if settings.users_file is None:
        fail(
            command,
            "TIDEGATE_USERS_FILE is not set; it names the file, and goes with TIDEGATE_AUTH=scram",
            EXIT_WRONG_USE,
        )
    return settings, settings.users_file


def _read_password(name: str, from_stdin: bool) -> bytes:
    if from_stdin:
        line = sys.stdin.buffer.readline()
        password = line.removesuffix(b"\n").removesuffix(b"\r")
    elif sys.stdin.isatty():
        password = getpass.getpass(f"Password of {name} in Postgres: ").encode(errors="surrogateescape")
    else:
        fail("user add", "there is no terminal to ask for the password on; use --password-stdin", EXIT_WRONG_USE)
    if not password or b"\0" in password:
        fail("user add", "no password was given" if not password else "a password cannot hold a NUL", EXIT_WRONG_USE)
    return password


@contextmanager
def _refusals(command: str) -> Iterator[None]:
    try:
        yield
    except Refusal as refusal:
        fail(command, mask_secrets(str(refusal)), EXIT_REFUSED)
