"""The test bench itself: nothing may be skipped, and each test carries the mark of its ring."""

import subprocess
import sys
from pathlib import Path

import pytest

_REPOSITORY = Path(__file__).resolve().parents[2]


def _run_tests(tmp_path: Path, text: str) -> subprocess.CompletedProcess[str]:
    path = tmp_path / "test_sample.py"
    path.write_text(text, encoding="utf-8")
    options = ["-q", "-p", "tests.conftest", "-p", "no:cacheprovider", "--rootdir", str(tmp_path)]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *options, path],
        capture_output=True, text=True, check=False, cwd=_REPOSITORY,
    )  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "import pytest\ndef test_it(): pytest.skip('no server')\n",
        "import pytest\n@pytest.mark.skip\ndef test_it(): pass\ndef test_other(): pass\n",
        "import pytest\npytest.skip('all of it', allow_module_level=True)\n",
        "import pytest\n@pytest.mark.xfail\ndef test_it(): assert False\n",
    ],
)
def test_a_session_with_a_skipped_test_fails(tmp_path: Path, text: str) -> None:
    assert _run_tests(tmp_path, text).returncode != 0


def test_a_session_without_one_passes(tmp_path: Path) -> None:
    assert _run_tests(tmp_path, "def test_it(): pass\n").returncode == 0


def test_a_test_carries_the_mark_of_its_ring(request: pytest.FixtureRequest) -> None:
    assert request.node.get_closest_marker("integration") is not None
