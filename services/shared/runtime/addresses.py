"""Addresses to listen on, as `HOST:PORT`; an IPv6 host stands in brackets."""


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
