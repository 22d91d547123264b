"""What is remembered of the query's answers, for how long, and for what."""

from services.proxy.scram.verifier import Challenge, Verifier
from services.proxy.verifiers.absence import Absence
from services.proxy.verifiers.remembered import (
    MAX_ABSENCES,
    MAX_VERIFIERS,
    REMEMBERED_SECONDS,
    Remembered,
)
from tests.unit.scram.exchanges import CHALLENGE, VERIFIER

OTHER = Challenge(b"another salt", 4096)


def test_an_answer_is_remembered_for_its_time() -> None:
    remembered = Remembered()
    assert remembered.get("ada", CHALLENGE, 0.0) is None
    remembered.put("ada", CHALLENGE, VERIFIER, 100.0)
    remembered.put("bob", CHALLENGE, Absence.UNKNOWN, 100.0)
    before, after = 100.0 + REMEMBERED_SECONDS - 0.1, 100.0 + REMEMBERED_SECONDS
    assert remembered.get("ada", CHALLENGE, before) == VERIFIER
    assert remembered.get("bob", CHALLENGE, before) is Absence.UNKNOWN
    assert remembered.get("ada", CHALLENGE, after) is None
    assert remembered.get("bob", CHALLENGE, after) is None


def test_a_new_password_is_asked_for_at_once() -> None:
    """Postgres names another salt as soon as it has another password."""
    remembered = Remembered()
    remembered.put("ada", CHALLENGE, VERIFIER, 0.0)
    remembered.put("bob", CHALLENGE, Absence.NOT_SCRAM, 0.0)
    assert remembered.get("ada", OTHER, 0.0) is None
    assert remembered.get("bob", OTHER, 0.0) is None


def test_the_newest_answer_counts() -> None:
    remembered = Remembered()
    remembered.put("ada", CHALLENGE, Absence.UNKNOWN, 0.0)
    remembered.put("ada", CHALLENGE, VERIFIER, 0.0)
    assert remembered.get("ada", CHALLENGE, 0.0) == VERIFIER
    remembered.put("ada", CHALLENGE, Absence.NO_PASSWORD, 0.0)
    assert remembered.get("ada", CHALLENGE, 0.0) is Absence.NO_PASSWORD
    assert len(remembered) == 1


def test_strangers_names_take_bounded_room_and_displace_nobody_who_has_a_verifier() -> None:
    remembered = Remembered()
    remembered.put("ada", CHALLENGE, VERIFIER, 0.0)
    for number in range(3 * MAX_ABSENCES):
        remembered.put(f"stranger {number}", CHALLENGE, Absence.UNKNOWN, 0.0)
    assert len(remembered) == MAX_ABSENCES + 1
    assert remembered.get("ada", CHALLENGE, 0.0) == VERIFIER
    assert remembered.get("stranger 0", CHALLENGE, 0.0) is None
    assert remembered.get(f"stranger {3 * MAX_ABSENCES - 1}", CHALLENGE, 0.0) is Absence.UNKNOWN
    for number in range(MAX_VERIFIERS + 5):
        remembered.put(f"user {number}", CHALLENGE, Verifier(100, CHALLENGE.salt, bytes(32), bytes(32)), 0.0)
    assert len(remembered) == MAX_ABSENCES + MAX_VERIFIERS
