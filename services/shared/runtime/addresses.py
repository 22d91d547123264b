"""Addresses to listen on: `HOST:PORT` (an IPv6 host stands in brackets), or a directory for a unix-domain socket."""

import re


def check_address(value: str) -> str:
    """Return the address as it is.

    Raises:
        ValueError: It is no `HOST:PORT`.
    """
    host, separator, port = value.rpartition(":")
    if not separator or not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError("it is no HOST:PORT")
    if ":" in host and not (host.startswith("[") and host.endswith("]")):
        raise ValueError("an IPv6 address has to stand in brackets, as in [::1]:6432")
    return value


def split_address(address: str) -> tuple[str, int]:
    """Split a checked address into host (without brackets) and port."""
    host, _, port = address.rpartition(":")
    return host.removeprefix("[").removesuffix("]"), int(port)


def check_directory(value: str) -> str:
    """Return the directory as it is; empty for none.

    Raises:
        ValueError: It is no absolute path.
    """
    if value and not value.startswith("/"):
        raise ValueError("it is no absolute path")
    return value


def check_permissions(value: object) -> str:
    """Return permission bits as the octal text that `chmod` takes; TOML may hold them as the number 0o770.

    Raises:
        ValueError: They are no permission bits.
    """
    text = f"{value:04o}" if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or re.fullmatch(r"(0o?)?[0-7]{3}", text) is None:
        raise ValueError("it is no octal number of permissions")
    return f"0{text[-3:]}"
