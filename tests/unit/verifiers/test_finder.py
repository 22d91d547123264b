"""Which source is believed, what is told, and how often."""

import asyncio

import pytest
from structlog.testing import capture_logs

from services.proxy.scram.verifier import Challenge, Verifier
from services.proxy.verifiers.absence import Absence, VerifiersUnavailable
from services.proxy.verifiers.finder import VerifierFinder
from services.proxy.verifiers.role_name import role_name
from tests.unit.scram.exchanges import CHALLENGE, VERIFIER

OTHER = Challenge(b"another salt", 4096)


class Source:
    def __init__(self, **answers: Verifier | Absence | VerifiersUnavailable) -> None:
        self.answers = answers
        self.asked: list[str] = []
        self.closed = False

    async def look_up(self, name: str, challenge: Challenge) -> Verifier | Absence:
        self.asked.append(name)
        answer = self.answers.get(name, Absence.UNKNOWN)
        if isinstance(answer, VerifiersUnavailable):
            raise answer
        return answer

    def close(self) -> None:
        self.closed = True


def find(finder: VerifierFinder, user: str, challenge: Challenge = CHALLENGE) -> Verifier | None:
    return asyncio.run(finder.find(user, challenge))


def test_the_first_source_that_has_the_right_one() -> None:
    query, file = Source(ada=VERIFIER), Source(ada=VERIFIER, bob=VERIFIER)
    finder = VerifierFinder([("auth_query", query), ("users_file", file)])
    assert find(finder, "ada") == VERIFIER
    assert file.asked == []
    assert find(finder, "bob") == VERIFIER
    assert query.asked == ["ada", "bob"]


def test_a_verifier_of_another_password_is_none() -> None:
    finder = VerifierFinder([("users_file", Source(ada=VERIFIER))])
    with capture_logs() as logs:
        assert find(finder, "ada", OTHER) is None
    assert logs[0]["reasons"] == {"users_file": Absence.OUTDATED}
    assert "tidegate user add" in logs[0]["hint"]


def test_the_reason_is_told_once_for_each_user_until_there_is_a_verifier() -> None:
    query, file = Source(), Source(bob=Absence.NOT_SCRAM)
    finder = VerifierFinder([("auth_query", query), ("users_file", file)])
    with capture_logs() as logs:
        for user in ("bob", "bob", "eve", "bob", "eve"):
            assert find(finder, user) is None
    assert [(log["user"], log["log_level"]) for log in logs] == [("bob", "warning"), ("eve", "warning")]
    assert logs[0]["reasons"] == {"auth_query": Absence.UNKNOWN, "users_file": Absence.NOT_SCRAM}
    file.answers["bob"] = VERIFIER
    assert find(finder, "bob") == VERIFIER
    del file.answers["bob"]
    with capture_logs() as logs:
        find(finder, "bob")
    assert len(logs) == 1


def test_no_log_holds_a_secret_or_a_line_of_its_own() -> None:
    finder = VerifierFinder([("users_file", Source(ada=VERIFIER))])
    with capture_logs() as logs:
        find(finder, "ada", OTHER)
        find(finder, "e\udcffve" + "x" * 1000)
    assert VERIFIER.format() not in str(logs)
    assert len(logs[1]["user"]) <= 200
    logs[1]["user"].encode()


def test_a_source_that_cannot_be_asked_matters_only_where_no_other_knows() -> None:
    away = VerifiersUnavailable("away")
    finder = VerifierFinder([("auth_query", Source(ada=away, bob=away)), ("users_file", Source(ada=VERIFIER))])
    assert find(finder, "ada") == VERIFIER
    with pytest.raises(VerifiersUnavailable), capture_logs() as logs:
        find(finder, "bob")
    assert logs == []


def test_names_are_cut_as_postgres_cuts_them() -> None:
    assert role_name("a" * 63) == "a" * 63
    assert role_name("a" * 70) == "a" * 63
    assert role_name("é" * 31 + "ab") == "é" * 31 + "a"
    assert role_name("é" * 32) is None  # cut in the middle of a character: no role of a UTF-8 database
    assert role_name("\udcff") is None
    source = Source()
    assert find(VerifierFinder([("users_file", source)]), "\udcff") is None
    assert source.asked == []


def test_what_the_sources_have_open_is_closed() -> None:
    sources = Source(), Source()
    VerifierFinder([("auth_query", sources[0]), ("users_file", sources[1])]).close()
    assert all(source.closed for source in sources)
