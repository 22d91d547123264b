"""The users file's text: what is read, what is refused, and that a change leaves the rest alone."""

import pytest

from services.proxy.verifiers.absence import Absence
from services.proxy.verifiers.userlist import InvalidUserlist, Userlist
from tests.unit.scram.exchanges import VERIFIER

WRITTEN = VERIFIER.format()
TEXT = f"""; for the proxy
"ada" "{WRITTEN}"
\t"bob"   "md5{"0a" * 16}" "" ignored
# plain, as PgBouncer allows
"carol" "hunter2"

"with ""quotes"" and blanks" "{WRITTEN}"
"""


def test_it_is_read_as_pgbouncer_reads_it() -> None:
    userlist = Userlist.parse(TEXT)
    assert userlist.verifiers == {
        "ada": VERIFIER,
        "bob": Absence.NOT_SCRAM,
        "carol": Absence.NOT_SCRAM,
        'with "quotes" and blanks': VERIFIER,
    }
    assert userlist.find("ada") == VERIFIER
    assert userlist.find("bob") is Absence.NOT_SCRAM
    assert userlist.find("dave") is Absence.UNKNOWN
    assert userlist.format() == TEXT
    assert "hunter2" not in repr(userlist)


@pytest.mark.parametrize("text", ["", "\n", "\n\n", "# nothing", TEXT.removesuffix("\n"), TEXT.replace("\n", "\r\n")])
def test_what_is_written_is_what_was_read(text: str) -> None:
    assert Userlist.parse(text).format().removesuffix("\n") == text.removesuffix("\n")


def test_a_user_is_added_at_the_end_and_replaced_in_place() -> None:
    userlist = Userlist.parse(TEXT).with_user("carol", VERIFIER).with_user('d"ave', VERIFIER)
    assert userlist.find("carol") == VERIFIER
    assert userlist.format() == TEXT.replace('"carol" "hunter2"', f'"carol" "{WRITTEN}"') + f'"d""ave" "{WRITTEN}"\n'
    assert Userlist.parse(userlist.format()).verifiers == userlist.verifiers
    assert Userlist().with_user("ada", VERIFIER).format() == f'"ada" "{WRITTEN}"\n'
    assert Userlist.parse("# nothing").with_user("ada", VERIFIER).format() == f'# nothing\n"ada" "{WRITTEN}"\n'


def test_a_user_is_removed_with_the_line() -> None:
    removed = Userlist.parse(TEXT).without_user("carol")
    assert removed.format() == TEXT.replace('"carol" "hunter2"\n', "")
    assert removed.without_user("nobody").format() == removed.format()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('"ada" "x"\nada hunter2', "line 2 is not of the form"),
        ('"ada"', "line 1"),
        ('"ada" "hunter2', "line 1"),
        ('"ada""hunter2"', "line 1"),
        ('"ada" "hunter2"x', "line 1"),
        ('"ada" "x"\n\n"ada" "hunter2"', "line 3 is the second one"),
    ],
)
def test_what_is_no_users_file_is_refused_by_its_line(text: str, why: str) -> None:
    with pytest.raises(InvalidUserlist, match=why) as refused:
        Userlist.parse(text)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("name", ["new\nline", "return\r", "nul\0"])
def test_a_name_that_fits_in_no_line_is_refused(name: str) -> None:
    with pytest.raises(InvalidUserlist, match="control characters"):
        Userlist().with_user(name, VERIFIER)
