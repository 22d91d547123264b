"""The messages of COPY: CopyData and CopyDone in both directions, CopyFail by clients, the responses by servers."""

from dataclasses import dataclass, field

from services.shared.pgwire.codes import BackendCode, FrontendCode
from services.shared.pgwire.fields import FieldReader, pack_int16_list, pack_text, pack_uint8
from services.shared.pgwire.framing import frame


@dataclass(frozen=True, slots=True)
class CopyData:
    """A piece of the copied stream; its boundaries mean nothing except from a walsender, where each is one message."""

    data: bytes = field(repr=False)

    def encode(self) -> bytes:
        """Write the message."""
        return frame(FrontendCode.COPY_DATA, self.data)


@dataclass(frozen=True, slots=True)
class CopyDone:
    """The stream is complete."""

    def encode(self) -> bytes:
        """Write the message."""
        return frame(FrontendCode.COPY_DONE)


@dataclass(frozen=True, slots=True)
class CopyFail:
    """The client gives up; the server answers with an error that quotes the reason."""

    reason: str

    def encode(self) -> bytes:
        """Write the message."""
        return frame(FrontendCode.COPY_FAIL, pack_text(self.reason))


@dataclass(frozen=True, slots=True)
class _CopyFormat:
    overall_format: int
    """0: text, 1: binary."""
    column_formats: tuple[int, ...]

    def _body(self) -> bytes:
        return pack_uint8(self.overall_format) + pack_int16_list(self.column_formats)


@dataclass(frozen=True, slots=True)
class CopyInResponse(_CopyFormat):
    """The server is ready to read copied data."""

    def encode(self) -> bytes:
        """Write the message."""
        return frame(BackendCode.COPY_IN_RESPONSE, self._body())


@dataclass(frozen=True, slots=True)
class CopyOutResponse(_CopyFormat):
    """The server starts to send copied data."""

    def encode(self) -> bytes:
        """Write the message."""
        return frame(BackendCode.COPY_OUT_RESPONSE, self._body())


@dataclass(frozen=True, slots=True)
class CopyBothResponse(_CopyFormat):
    """Both at once: streaming replication."""

    def encode(self) -> bytes:
        """Write the message."""
        return frame(BackendCode.COPY_BOTH_RESPONSE, self._body())


def read_copy_data(reader: FieldReader) -> CopyData:
    """Read the body of CopyData."""
    return CopyData(reader.rest())


def read_copy_done(reader: FieldReader) -> CopyDone:
    """Read the body of CopyDone, which is empty."""
    return CopyDone()


def read_copy_fail(reader: FieldReader) -> CopyFail:
    """Read the body of CopyFail."""
    return CopyFail(reader.text())


def read_copy_in_response(reader: FieldReader) -> CopyInResponse:
    """Read the body of CopyInResponse."""
    return CopyInResponse(reader.uint8(), reader.int16_list())


def read_copy_out_response(reader: FieldReader) -> CopyOutResponse:
    """Read the body of CopyOutResponse."""
    return CopyOutResponse(reader.uint8(), reader.int16_list())


def read_copy_both_response(reader: FieldReader) -> CopyBothResponse:
    """Read the body of CopyBothResponse."""
    return CopyBothResponse(reader.uint8(), reader.int16_list())
