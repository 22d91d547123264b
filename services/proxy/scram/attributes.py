"""A client's SCRAM message, read attribute by attribute; what is wrong with it is told in Postgres's words. Pure.

    attr-val = ALPHA "=" value        separated by commas (RFC 5802 section 7)

Postgres reads C strings, so the end of a message looks to it, and in its errors, like a character 0x00.
"""

from services.proxy.scram.errors import malformed

_END = 0
_FIRST_PRINTABLE, _LAST_PRINTABLE = 0x21, 0x7E
_SHOWN_CHARACTERS = 30


class AttributeReader:
    """A cursor over one message. Every method raises `ClientRefused` when the message is not as it should be."""

    __slots__ = ("_message", "at")

    def __init__(self, message: bytes) -> None:
        """Begin at the first byte.

        Raises:
            ClientRefused: The message is empty, or a C string would end inside it.
        """
        if not message:
            raise malformed("The message is empty.")
        if b"\0" in message:
            raise malformed("Message length does not match input length.")
        self._message = message
        self.at = 0

    @property
    def next(self) -> int:
        """The byte that comes next; 0 at the end."""
        return self._message[self.at] if self.at < len(self._message) else _END

    def rest(self) -> bytes:
        """Return what is left, and stay where we are."""
        return self._message[self.at :]

    def step(self) -> None:
        """Go past the next byte."""
        self.at += 1

    def value_of(self, letter: str) -> bytes:
        """Read the attribute that has to come next, and the comma behind it, if there is one."""
        if self.next != ord(letter):
            raise malformed(f'Expected attribute "{letter}" but found "{shown_character(self.next)}".')
        return self._value(letter)

    def any_value(self) -> tuple[str, bytes]:
        """Read whatever attribute comes next."""
        if self.next == _END:
            raise malformed("Attribute expected, but found end of string.")
        letter = chr(self.next)
        if not (letter.isascii() and letter.isalpha()):
            raise malformed(f'Attribute expected, but found invalid character "{shown_character(self.next)}".')
        return letter, self._value(letter)

    def _value(self, letter: str) -> bytes:
        self.step()
        if self.next != ord("="):
            raise malformed(f'Expected character "=" for attribute "{letter}".')
        value, comma, _ = self._message[self.at + 1 :].partition(b",")
        self.at += 1 + len(value) + len(comma)
        return value


def is_printable(value: bytes) -> bool:
    """Tell whether a nonce is made of what RFC 5802 calls printable: ASCII, no space, no comma."""
    return all(_FIRST_PRINTABLE <= byte <= _LAST_PRINTABLE and byte != ord(",") for byte in value)


def shown_character(byte: int) -> str:
    """Show one byte of a message in an error."""
    return f"'{chr(byte)}'" if _FIRST_PRINTABLE <= byte <= _LAST_PRINTABLE else f"0x{byte:02x}"


def shown_text(value: bytes) -> str:
    """Show the beginning of a value in an error."""
    return "".join(
        chr(byte) if _FIRST_PRINTABLE <= byte <= _LAST_PRINTABLE else "?" for byte in value[:_SHOWN_CHARACTERS]
    )
