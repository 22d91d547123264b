"""ErrorResponse and NoticeResponse: a list of fields, each under a one-letter name, in the order they came.

Fields are `str` by `fields.to_text`: readable where the session speaks UTF-8, lossless where it does not. DETAIL and
WHERE may quote rows, so no `repr` shows more than severity and SQLSTATE.
"""

from dataclasses import dataclass

from services.shared.pgwire.codes import BackendCode
from services.shared.pgwire.errors import Unencodable
from services.shared.pgwire.fields import FieldReader, pack_text, pack_uint8
from services.shared.pgwire.framing import frame


@dataclass(frozen=True, slots=True, repr=False)
class _Fields:
    pairs: tuple[tuple[str, str], ...]
    """One-letter field names and their values, in wire order; a name that occurs twice is kept twice."""

    @property
    def fields(self) -> dict[str, str]:
        """The fields by letter; of a name that occurs twice, the last."""
        return dict(self.pairs)

    @property
    def severity(self) -> str:
        """ERROR, FATAL, PANIC, WARNING, …: the form that is not translated where there is one."""
        fields = self.fields
        return fields.get("V", fields.get("S", ""))

    @property
    def sqlstate(self) -> str:
        """The code of five characters; empty if the server sent none."""
        return self.fields.get("C", "")

    @property
    def message(self) -> str:
        """The primary message."""
        return self.fields.get("M", "")

    def __repr__(self) -> str:
        return f"{type(self).__name__}(severity={self.severity!r}, sqlstate={self.sqlstate!r})"

    def _body(self) -> bytes:
        parts: list[bytes] = []
        for letter, value in self.pairs:
            if len(letter) != 1 or letter == "\0":
                raise Unencodable("a field is named by one letter")
            parts += (pack_uint8(ord(letter)), pack_text(value))
        return b"".join(parts) + b"\0"


@dataclass(frozen=True, slots=True, repr=False)
class ErrorResponse(_Fields):
    """The statement failed; with severity FATAL or PANIC the connection ends."""

    def encode(self) -> bytes:
        """Write the message."""
        return frame(BackendCode.ERROR_RESPONSE, self._body())


@dataclass(frozen=True, slots=True, repr=False)
class NoticeResponse(_Fields):
    """A warning or a message; may come at any time."""

    def encode(self) -> bytes:
        """Write the message."""
        return frame(BackendCode.NOTICE_RESPONSE, self._body())


def _read_pairs(reader: FieldReader) -> tuple[tuple[str, str], ...]:
    pairs: list[tuple[str, str]] = []
    while letter := reader.uint8():
        pairs.append((chr(letter), reader.text()))
    return tuple(pairs)


def read_error_response(reader: FieldReader) -> ErrorResponse:
    """Read the body of ErrorResponse."""
    return ErrorResponse(_read_pairs(reader))


def read_notice_response(reader: FieldReader) -> NoticeResponse:
    """Read the body of NoticeResponse."""
    return NoticeResponse(_read_pairs(reader))


def _pairs(
    severity: str, sqlstate: str, message: str, detail: str | None, hint: str | None
) -> tuple[tuple[str, str], ...]:
    pairs = [("S", severity), ("V", severity), ("C", str(sqlstate)), ("M", message)]
    if detail is not None:
        pairs.append(("D", detail))
    if hint is not None:
        pairs.append(("H", hint))
    return tuple(pairs)


def error_response(
    severity: str, sqlstate: str, message: str, detail: str | None = None, hint: str | None = None
) -> ErrorResponse:
    """Make an error of our own; severity is ERROR, FATAL or PANIC."""
    return ErrorResponse(_pairs(severity, sqlstate, message, detail, hint))


def notice_response(
    severity: str, sqlstate: str, message: str, detail: str | None = None, hint: str | None = None
) -> NoticeResponse:
    """Make a notice of our own; severity is WARNING, NOTICE, INFO, DEBUG or LOG."""
    return NoticeResponse(_pairs(severity, sqlstate, message, detail, hint))
