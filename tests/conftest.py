"""What all tests share: where the data is, and which files the lane without torch may load."""

from __future__ import annotations

from pathlib import Path

import pytest

try:
    from hypothesis import settings
except ImportError:
    # The lane without torch has what decoding needs, and no more.
    pass
else:
    # How long an example takes tells of the machine's load and nothing else.
    settings.register_profile("inrvis", deadline=None)
    settings.load_profile("inrvis")

ROOT = Path(__file__).resolve().parent.parent
SHARED_DATA = ROOT.parent / "shared" / "data"


@pytest.fixture(scope="session")
def repository() -> Path:
    """Return the top folder of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder with the shared volumes, or skip the test."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"shared data is absent: {SHARED_DATA}")
    return SHARED_DATA


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave files alone that cannot be imported where only the runtime dependencies are.

    With ``-m decode_only`` a file that never names the marker holds nothing to run, and importing
    it could fail for want of torch or hypothesis.
    """
    if config.getoption("markexpr") != "decode_only":
        return None
    if collection_path.suffix != ".py" or collection_path.name == "conftest.py":
        return None
    return True if "decode_only" not in collection_path.read_text(encoding="utf-8") else None
