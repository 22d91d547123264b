"""pgoutput: bytes in, messages out.

Every message of the replication stream is one byte of kind and fields of fixed or counted length. The decoder keeps one
thing between messages: whether it is inside a piece of a streamed transaction, because there (and only there) most
messages have a transaction id in front of their fields.

Two invariants, for hostile bytes too: nothing but `PgoutputError` is raised, and a message is read to its last byte.
"""

from collections.abc import Callable
from struct import Struct
from struct import error as StructError  # noqa: N812 - struct names its exception in lower case
from typing import TypeAlias

from services.cdc.pgoutput.errors import PgoutputError
from services.cdc.pgoutput.messages import (
    Begin,
    Column,
    Commit,
    Delete,
    Insert,
    LogicalMessage,
    Message,
    Origin,
    Relation,
    ReplicaIdentity,
    StreamAbort,
    StreamCommit,
    StreamStart,
    StreamStop,
    Truncate,
    Type,
    Update,
)
from services.cdc.pgoutput.tuples import read_tuple
from services.shared.lsn import Lsn

_BEGIN = Struct("!QqI")
_COMMIT = Struct("!BQQq")
_LSN = Struct("!Q")
_OID = Struct("!I")
_COUNT = Struct("!H")
_COLUMN = Struct("!Ii")
_TRUNCATE = Struct("!IB")
_MESSAGE = Struct("!BQ")
_STREAM_START = Struct("!IB")
_STREAM_COMMIT = Struct("!IBQQq")
_STREAM_ABORT = Struct("!II")
_STREAM_ABORT_PARALLEL = Struct("!IIQq")

_KEY_COLUMN = 1  # flag of a column
_CASCADE, _RESTART_IDENTITY = 1, 2  # flags of Truncate
_TRANSACTIONAL = 1  # flag of Message
_NEW, _KEY, _OLD = b"NKO"
_ROWS = (b"I", b"U", b"D")
_IDENTITIES = {ord(identity.value): identity for identity in ReplicaIdentity}

_Handler: TypeAlias = Callable[[bytes, int, int | None], tuple[Message, int]]
"""Reads the fields of one kind: (message, position of the fields, stream xid) -> (value, position after the fields)."""


class Decoder:
    """Decodes the messages of one replication stream, in order. Pure."""

    def __init__(self) -> None:
        self._in_stream_block = False

    def decode(self, data: bytes) -> Message:
        """Decode one message.

        Args:
            data: The payload of one XLogData frame, whole.

        Raises:
            PgoutputError: The bytes are not exactly one message that may come here. The decoder is of no further use.
        """
        if not data:
            raise PgoutputError("an empty message")
        kind = data[0]
        try:
            if self._in_stream_block:
                message, end = self._decode_in_stream_block(kind, data)
            else:
                handler = _HANDLERS.get(kind)
                if handler is None:
                    raise PgoutputError(f"unknown kind of message: 0x{kind:02x}")
                message, end = handler(data, 1, None)
        except (StructError, IndexError):
            raise PgoutputError(f"message {chr(kind)!r} is too short") from None
        except UnicodeDecodeError:
            raise PgoutputError(f"a name in message {chr(kind)!r} is not UTF-8") from None
        if end != len(data):
            raise PgoutputError(f"message {chr(kind)!r} has {len(data) - end} bytes too many")
        if type(message) is StreamStart:
            self._in_stream_block = True
        return message

    def row_relation(self, data: bytes) -> int | None:
        """Return the relation of a row message without decoding the rest; None if it is none, or cut off."""
        position = 5 if self._in_stream_block else 1
        if data[:1] not in _ROWS or len(data) < position + _OID.size:
            return None
        (relation,) = _OID.unpack_from(data, position)
        return int(relation)

    def _decode_in_stream_block(self, kind: int, data: bytes) -> tuple[Message, int]:
        """Decode a message of a transaction in progress: all but Stop and Origin have its id, or a subtransaction's."""
        if kind == _STREAM_STOP:
            self._in_stream_block = False
            return StreamStop(), 1
        if kind == _ORIGIN:
            return _read_origin(data, 1, None)
        handler = _HANDLERS_IN_STREAM_BLOCK.get(kind)
        if handler is None:
            raise PgoutputError(f"message 0x{kind:02x} within a piece of a transaction in progress")
        (stream_xid,) = _OID.unpack_from(data, 1)
        return handler(data, 5, stream_xid)


def _read_text(data: bytes, position: int) -> tuple[str, int]:
    """Read a string that ends with a zero byte."""
    end = data.find(b"\0", position)
    if end < 0:
        raise PgoutputError("a name has no end")
    return data[position:end].decode(), end + 1


def _read_begin(data: bytes, position: int, _: int | None) -> tuple[Message, int]:
    commit_lsn, commit_time_us, xid = _BEGIN.unpack_from(data, position)
    return Begin(Lsn(commit_lsn), commit_time_us, xid), position + _BEGIN.size


def _read_commit(data: bytes, position: int, _: int | None) -> tuple[Message, int]:
    _flags, commit_lsn, end_lsn, commit_time_us = _COMMIT.unpack_from(data, position)
    return Commit(Lsn(commit_lsn), Lsn(end_lsn), commit_time_us), position + _COMMIT.size


def _read_origin(data: bytes, position: int, _: int | None) -> tuple[Message, int]:
    (origin_lsn,) = _LSN.unpack_from(data, position)
    name, position = _read_text(data, position + _LSN.size)
    return Origin(Lsn(origin_lsn), name), position


def _read_relation(data: bytes, position: int, stream_xid: int | None) -> tuple[Message, int]:
    (oid,) = _OID.unpack_from(data, position)
    schema, position = _read_text(data, position + _OID.size)
    name, position = _read_text(data, position)
    identity = _IDENTITIES.get(data[position])
    if identity is None:
        raise PgoutputError(f"unknown replica identity: 0x{data[position]:02x}")
    (column_count,) = _COUNT.unpack_from(data, position + 1)
    position += 1 + _COUNT.size
    columns = []
    for _ in range(column_count):
        flags = data[position]
        column_name, position = _read_text(data, position + 1)
        type_oid, type_modifier = _COLUMN.unpack_from(data, position)
        position += _COLUMN.size
        columns.append(Column(column_name, type_oid, type_modifier, bool(flags & _KEY_COLUMN)))
    # pg_catalog is sent as an empty schema name.
    return Relation(oid, schema or "pg_catalog", name, identity, tuple(columns), stream_xid), position


def _read_type(data: bytes, position: int, stream_xid: int | None) -> tuple[Message, int]:
    (oid,) = _OID.unpack_from(data, position)
    schema, position = _read_text(data, position + _OID.size)
    name, position = _read_text(data, position)
    return Type(oid, schema or "pg_catalog", name, stream_xid), position


def _read_insert(data: bytes, position: int, stream_xid: int | None) -> tuple[Message, int]:
    (relation,) = _OID.unpack_from(data, position)
    _expect_new(data[position + 4])
    new, position = read_tuple(data, position + 5)
    return Insert(relation, new, stream_xid), position


def _read_update(data: bytes, position: int, stream_xid: int | None) -> tuple[Message, int]:
    (relation,) = _OID.unpack_from(data, position)
    marker = data[position + 4]
    position += 5
    old = None
    if marker in (_KEY, _OLD):
        old, position = read_tuple(data, position)
        _expect_new(data[position])
        position += 1
    else:
        _expect_new(marker)
    new, position = read_tuple(data, position)
    return Update(relation, old, marker == _KEY, new, stream_xid), position


def _read_delete(data: bytes, position: int, stream_xid: int | None) -> tuple[Message, int]:
    (relation,) = _OID.unpack_from(data, position)
    marker = data[position + 4]
    if marker not in (_KEY, _OLD):
        raise PgoutputError(f"a deleted row starts with 0x{marker:02x}")
    old, position = read_tuple(data, position + 5)
    return Delete(relation, old, marker == _KEY, stream_xid), position


def _expect_new(marker: int) -> None:
    if marker != _NEW:
        raise PgoutputError(f"a new row starts with 0x{marker:02x}")


def _read_truncate(data: bytes, position: int, stream_xid: int | None) -> tuple[Message, int]:
    relation_count, flags = _TRUNCATE.unpack_from(data, position)
    position += _TRUNCATE.size
    if relation_count * _OID.size > len(data) - position:  # checked before anything of that size is made
        raise PgoutputError("a list of relations reaches beyond its message")
    relations = tuple(oid for (oid,) in _OID.iter_unpack(data[position : position + relation_count * _OID.size]))
    position += relation_count * _OID.size
    return Truncate(relations, bool(flags & _CASCADE), bool(flags & _RESTART_IDENTITY), stream_xid), position


def _read_message(data: bytes, position: int, stream_xid: int | None) -> tuple[Message, int]:
    flags, lsn = _MESSAGE.unpack_from(data, position)
    prefix, position = _read_text(data, position + _MESSAGE.size)
    (length,) = _OID.unpack_from(data, position)
    position += _OID.size
    end = position + length
    if end > len(data):
        raise PgoutputError("a message's content reaches beyond it")
    return LogicalMessage(bool(flags & _TRANSACTIONAL), Lsn(lsn), prefix, data[position:end], stream_xid), end


def _read_stream_start(data: bytes, position: int, _: int | None) -> tuple[Message, int]:
    xid, first_segment = _STREAM_START.unpack_from(data, position)
    return StreamStart(xid, bool(first_segment)), position + _STREAM_START.size


def _read_stream_commit(data: bytes, position: int, _: int | None) -> tuple[Message, int]:
    xid, _flags, commit_lsn, end_lsn, commit_time_us = _STREAM_COMMIT.unpack_from(data, position)
    return StreamCommit(xid, Lsn(commit_lsn), Lsn(end_lsn), commit_time_us), position + _STREAM_COMMIT.size


def _read_stream_abort(data: bytes, position: int, _: int | None) -> tuple[Message, int]:
    if len(data) - position > _STREAM_ABORT.size:  # protocol 4 with `streaming = parallel`
        xid, subxid, abort_lsn, abort_time_us = _STREAM_ABORT_PARALLEL.unpack_from(data, position)
        return StreamAbort(xid, subxid, Lsn(abort_lsn), abort_time_us), position + _STREAM_ABORT_PARALLEL.size
    xid, subxid = _STREAM_ABORT.unpack_from(data, position)
    return StreamAbort(xid, subxid), position + _STREAM_ABORT.size


_ORIGIN, _STREAM_STOP = b"OE"

_HANDLERS: dict[int, _Handler] = {
    ord("B"): _read_begin,
    ord("C"): _read_commit,
    _ORIGIN: _read_origin,
    ord("R"): _read_relation,
    ord("Y"): _read_type,
    ord("I"): _read_insert,
    ord("U"): _read_update,
    ord("D"): _read_delete,
    ord("T"): _read_truncate,
    ord("M"): _read_message,
    ord("S"): _read_stream_start,
    ord("c"): _read_stream_commit,
    ord("A"): _read_stream_abort,
}
"""What may come outside a piece of a transaction in progress."""

_HANDLERS_IN_STREAM_BLOCK = {kind: _HANDLERS[kind] for kind in b"RYIUDTM"}
"""What may come within one, each with the transaction's id in front of its fields."""
