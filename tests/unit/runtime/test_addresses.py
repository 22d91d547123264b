"""Addresses to listen on."""

import pytest

from services.shared.runtime.addresses import check_address, split_address


@pytest.mark.parametrize(
    ("address", "parts"),
    [("127.0.0.1:6432", ("127.0.0.1", 6432)), ("[::1]:0", ("::1", 0)), ("localhost:65535", ("localhost", 65535))],
)
def test_an_address_is_split(address: str, parts: tuple[str, int]) -> None:
    assert split_address(check_address(address)) == parts


@pytest.mark.parametrize(
    "address", ["", "6432", ":6432", "host:", "host:x", "host:65536", "::1:6432", "host:-1", "host:٣"]
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match=r"HOST:PORT|brackets"):
        check_address(address)
