"""The events: what is written is read back, exactly and strictly, and the documents about them are true."""

import json
import re
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

import schemas
from schemas.changes import Changes, RowChange
from schemas.encoding import EVENT_TYPES, SchemaError, decode, encode
from schemas.fields import HashedValue
from schemas.json_schema import documents
from schemas.watermark import Watermark
from services.cdc.change_events import RECORD_BYTES
from services.cdc.rows import CARRIED_BYTES
from services.shared.eventlog.kafka_advice import MAX_RECORD_BYTES
from services.shared.eventlog.redis_streams import DEFAULT_MAX_LENGTH

PACKAGE = Path(schemas.__file__).parent
EPOCH = "7488123456789012345/16384/00000001/canary/slot/log"
EXAMPLES = re.findall(r"^```json\n(.+)\n```$", (PACKAGE / "README.md").read_text(encoding="utf-8"), re.MULTILINE)


def watermark(k: int = 3) -> Watermark:
    return Watermark(
        watermark="16/B374D849", settled="16/B374D848", cache="main", epoch=EPOCH, incarnation="16/B3740000", k=k
    )


def changes(rows: list[RowChange], time: datetime = datetime(2025, 1, 1, tzinfo=UTC)) -> Changes:
    return Changes(
        schema_name="public",
        table="orders",
        commit_lsn="16/B374D848",
        xid=751,
        commit_time=time,
        rows=rows,
        part=0,
        last=True,
        relation=16402,
        identity="default",
        key_columns=["id"],
        end_lsn="16/B374D878",
        cache="main",
        epoch=EPOCH,
        incarnation="16/B3740000",
        k=7,
    )


def test_the_readme_has_one_example_of_each_kind() -> None:
    assert [type(decode(example.encode())) for example in EXAMPLES] == list(EVENT_TYPES)


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_readmes_examples_are_what_is_written(example: str) -> None:
    assert encode(decode(example.encode())).decode() == example


@pytest.mark.parametrize("name", sorted(documents()))
def test_the_generated_documents_have_not_drifted(name: str) -> None:
    written = (PACKAGE / name).read_text(encoding="utf-8")
    assert written == documents()[name], "run: python -m schemas"


def test_no_document_is_left_over() -> None:
    assert {path.name for path in PACKAGE.glob("*.v1.json")} == set(documents())


def test_a_person_finds_table_transaction_time_and_rows_first() -> None:
    written = json.loads(encode(changes([RowChange(op="delete", key={"id": "1"}, changed=[])])))
    assert list(written)[:7] == ["kind", "schema", "table", "commit_lsn", "xid", "commit_time", "rows"]
    assert list(written["rows"][0])[:3] == ["op", "key", "changed"]


def test_an_event_is_one_line() -> None:
    event = changes([RowChange(op="insert", key={"id": "1"}, changed=[], new={"id": "1", "note": "two\nlines\u2028"})])
    assert b"\n" not in encode(event)
    assert decode(encode(event)) == event


def test_commit_times_are_written_in_utc() -> None:
    time = datetime(2025, 1, 1, 2, 0, 0, 123456, tzinfo=timezone(timedelta(hours=2)))
    assert json.loads(encode(changes([], time)))["commit_time"] == "2025-01-01T00:00:00.123456Z"


def test_values_keep_apart_text_null_and_hash() -> None:
    digest = HashedValue(length=300, sha256="a" * 64)
    row = RowChange(
        op="insert", key=None, changed=[], new={"text": "null", "null": None, "hashed": digest, "empty": ""}
    )
    [read] = decode_changes(encode(changes([row]))).rows
    assert read.new == {"text": "null", "null": None, "hashed": digest, "empty": ""}


def decode_changes(data: bytes) -> Changes:
    event = decode(data)
    assert isinstance(event, Changes)
    return event


@pytest.mark.parametrize(
    "damage",
    [
        {"kind": "unheard of"},
        {"version": 2},
        {"k": "3"},
        {"k": -1},
        {"k": 3.5},
        {"surplus": 1},
        {"settled": "16/b374d848"},
        {"settled": 97},
        {"epoch": "not an epoch"},
        {"cache": ""},
    ],
    ids=str,
)
def test_whatever_is_not_exactly_an_event_is_refused(damage: dict[str, object]) -> None:
    document = json.loads(encode(watermark())) | damage
    with pytest.raises(SchemaError, match="not an event"):
        decode(json.dumps(document).encode())


@pytest.mark.parametrize("field", ["kind", "watermark", "settled", "cache", "epoch", "incarnation", "k"])
def test_a_missing_field_is_refused(field: str) -> None:
    document = json.loads(encode(watermark()))
    del document[field]
    with pytest.raises(SchemaError):
        decode(json.dumps(document).encode())


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"kind":"watermark"}'])
def test_whatever_is_not_json_is_refused(data: bytes) -> None:
    with pytest.raises(SchemaError):
        decode(data)


def test_the_name_in_json_is_schema_alone() -> None:
    renamed = encode(changes([])).replace(b'"schema":', b'"schema_name":')
    with pytest.raises(SchemaError):
        decode(renamed)


def test_an_error_quotes_no_value() -> None:
    row = RowChange(op="insert", key=None, changed=[], new={"password": "hunter2"})
    damaged = encode(changes([row])).replace(b'"hunter2"', b'["hunter2"]')
    with pytest.raises(SchemaError) as caught:
        decode(damaged)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_what_is_made_unchecked_is_the_same() -> None:
    row: dict[str, Any] = {
        "op": "insert",
        "key": None,
        "changed": [],
        "old": None,
        "new": {"id": "1"},
        "unchanged_toast": [],
    }
    event = changes([RowChange.model_validate(row)])
    given = {name: getattr(event, name) for name in reversed(Changes.model_fields) if name not in ("kind", "version")}
    unchecked = Changes.trusted(given | {"rows": [RowChange.trusted(row)]})
    assert encode(unchecked) == encode(event)
    assert (unchecked, unchecked.rows[0]) == (event, event.rows[0])


def test_events_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        watermark().k = 4  # type: ignore[misc]  # what the checker forbids is forbidden at run time as well


@pytest.mark.parametrize(
    "said",
    [
        f"beyond {RECORD_BYTES // 1024} KiB of JSON",
        f"keeps about {DEFAULT_MAX_LENGTH:,}\nentries",
        f"records up to {MAX_RECORD_BYTES >> 20} MiB",
        f"longer than {CARRIED_BYTES} bytes",
    ],
)
def test_the_readmes_numbers_are_those_of_the_code(said: str) -> None:
    assert said in (PACKAGE / "README.md").read_text(encoding="utf-8")
