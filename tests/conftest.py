"""What the test rings share: their markers and the servers of a session."""

from pathlib import Path

import pytest

_RINGS = ("unit", "property", "fuzz", "integration", "drivers", "chaos")
_HERE = Path(__file__).parent


def pytest_configure(config: pytest.Config) -> None:
    """Declare one marker per ring; a test carries the one of its folder."""
    for ring in _RINGS:
        config.addinivalue_line("markers", f"{ring}: lives in tests/{ring}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with its ring, so that `-m integration` works as the folder does."""
    for item in items:
        ring = item.path.relative_to(_HERE).parts[0]
        if ring in _RINGS:
            item.add_marker(ring)
