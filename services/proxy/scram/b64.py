"""Base64 as SCRAM has it: one spelling, no white space, padding where it is due. Pure."""

import binascii


def encode(raw: bytes) -> bytes:
    """Write base64."""
    return binascii.b2a_base64(raw, newline=False)


def decode(text: bytes) -> bytes:
    """Read base64.

    Raises:
        ValueError: It is not. The message repeats none of it.
    """
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except binascii.Error:
        raise ValueError("it is not base64") from None
