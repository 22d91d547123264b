"""What must not be read by whoever reads a log line or an error: passwords in URLs and in key/value strings.

Masking errs towards too much: in a URL, everything from the user's colon to the last `@` before white space or a quote
goes, because a password may itself hold `/`, `:` or `@`.
"""

import re

MASK = "***"

_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    # scheme://user:password@host, with any characters in the password
    (re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://)([^\s:/@'\"]*):[^\s'\"]*@"), rf"\1\2:{MASK}@"),
    # password='two words' (libpq), "password": "…" (JSON), sasl_password="…"
    (re.compile(r"(?i)(\w*(?:password|passwd|pwd|secret)[\"']?\s*[=:]\s*)'(?:[^'\\]|\\.|'')*'"), rf"\1{MASK}"),
    (re.compile(r"(?i)(\w*(?:password|passwd|pwd|secret)[\"']?\s*[=:]\s*)\"(?:[^\"\\]|\\.)*\""), rf"\1{MASK}"),
    # password=word, ?password=word&…
    (re.compile(r"(?i)(\w*(?:password|passwd|pwd|secret)\s*=\s*)[^\s'\"&]+"), rf"\1{MASK}"),
    # ALTER ROLE app PASSWORD 'word'
    (re.compile(r"(?i)(\bpassword\s+)'(?:[^']|'')*'"), rf"\1{MASK}"),
)

_SECRET_NAME = re.compile(r"(?i)password|passwd|secret|token$|private_key")


def mask_secrets(text: str) -> str:
    """Return the text with every password in it replaced by `***`."""
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


def is_secret_name(name: str) -> bool:
    """Whether a value under this name is a secret as a whole, whatever it looks like."""
    return _SECRET_NAME.search(name) is not None


def shown_secret(text: str) -> str:
    """Show as much of a wrong secret as cannot hold a password: the address behind the last @ of a URL."""
    scheme, separator, rest = text.partition("://")
    if not separator:
        return MASK
    credentials, at, address = rest.rpartition("@")
    user = f"{credentials.partition(':')[0]}:{MASK}@" if at else ""
    return f"{scheme}://{user}{mask_secrets(address)}"
