"""The messages of an answer: its columns, its rows and what was done."""

from dataclasses import dataclass, field

from services.shared.pgwire.codes import BackendCode
from services.shared.pgwire.fields import (
    FieldReader,
    pack_count,
    pack_counted_values,
    pack_int16,
    pack_int32,
    pack_text,
    pack_uint32,
    pack_uint32_list,
)
from services.shared.pgwire.framing import frame


@dataclass(frozen=True, slots=True)
class Column:
    """One column of an answer."""

    name: str
    relation: int
    """OID of the relation that it is a plain column of, else 0."""
    attribute: int
    """Its attribute number there, else 0."""
    type_oid: int
    type_length: int
    """In bytes; negative: of varying length."""
    type_modifier: int
    format: int
    """0: text, 1: binary; from Describe of a statement always 0, since nothing is bound yet."""

    def encode(self) -> bytes:
        """Write the column as it stands in RowDescription."""
        origin = pack_uint32(self.relation) + pack_int16(self.attribute)
        kind = pack_uint32(self.type_oid) + pack_int16(self.type_length) + pack_int32(self.type_modifier)
        return pack_text(self.name) + origin + kind + pack_int16(self.format)


@dataclass(frozen=True, slots=True)
class RowDescription:
    """The columns of the rows that follow."""

    columns: tuple[Column, ...]

    def encode(self) -> bytes:
        """Write the message."""
        body = pack_count(self.columns) + b"".join([column.encode() for column in self.columns])
        return frame(BackendCode.ROW_DESCRIPTION, body)


@dataclass(frozen=True, slots=True)
class ParameterDescription:
    """The types of a statement's parameters."""

    parameter_types: tuple[int, ...]

    def encode(self) -> bytes:
        """Write the message."""
        return frame(BackendCode.PARAMETER_DESCRIPTION, pack_uint32_list(self.parameter_types))


@dataclass(frozen=True, slots=True)
class DataRow:
    """One row."""

    values: tuple[bytes | None, ...] = field(repr=False)

    def encode(self) -> bytes:
        """Write the message."""
        return frame(BackendCode.DATA_ROW, pack_counted_values(self.values))


@dataclass(frozen=True, slots=True)
class CommandComplete:
    """A statement is done; the tag says which and, for most, on how many rows: `SELECT 3`, `INSERT 0 1`."""

    tag: str

    @property
    def row_count(self) -> int | None:
        """How many rows the tag speaks of; None when it names no number."""
        count = self.tag.rpartition(" ")[2]
        return int(count) if count.isascii() and count.isdigit() else None

    def encode(self) -> bytes:
        """Write the message."""
        return frame(BackendCode.COMMAND_COMPLETE, pack_text(self.tag))


def _read_column(reader: FieldReader) -> Column:
    return Column(
        name=reader.text(),
        relation=reader.uint32(),
        attribute=reader.int16(),
        type_oid=reader.uint32(),
        type_length=reader.int16(),
        type_modifier=reader.int32(),
        format=reader.int16(),
    )


def read_row_description(reader: FieldReader) -> RowDescription:
    """Read the body of RowDescription."""
    return RowDescription(tuple([_read_column(reader) for _ in range(reader.uint16())]))


def read_parameter_description(reader: FieldReader) -> ParameterDescription:
    """Read the body of ParameterDescription."""
    return ParameterDescription(reader.uint32_list())


def read_data_row(reader: FieldReader) -> DataRow:
    """Read the body of DataRow."""
    return DataRow(reader.counted_values())


def read_command_complete(reader: FieldReader) -> CommandComplete:
    """Read the body of CommandComplete."""
    return CommandComplete(reader.text())
