"""``file:selector``: what is path and what is selector, and formats that have none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inrvis import sources
from inrvis.errors import UsageError
from inrvis.sources.selection import Selector, split_selector


def test_an_existing_file_of_the_full_name_wins(tmp_path: Path) -> None:
    short, full = tmp_path / "a.h5", tmp_path / "a.h5:b"
    short.touch()
    assert split_selector(f"{short}") == (short, "")
    assert split_selector(f"{short}:b") == (short, "b")
    assert split_selector(f"{short}:/b:c/d[2]") == (short, "/b:c/d[2]")
    assert split_selector(f"{short}:") == (short, "")
    full.touch()
    assert split_selector(f"{full}") == (full, "")
    assert split_selector(f"{full}:c") == (full, "c")
    assert split_selector(f"{short}:c") == (short, "c")


def test_colons_in_folders(tmp_path: Path) -> None:
    folder = tmp_path / "C:data"
    folder.mkdir()
    path = folder / "a.h5"
    path.touch()
    assert split_selector(f"{path}:x") == (path, "x")
    # A folder is never the file, and a path that leads nowhere stays whole.
    assert split_selector(f"{folder}:x") == (Path(f"{folder}:x"), "")
    assert split_selector("absent.h5:x") == (Path("absent.h5:x"), "")


@given(st.text())
def test_any_text_is_split_into_itself(text: str) -> None:
    path, selector = split_selector(text)
    assert (path, selector) == (Path(text), "") or text.endswith(f":{selector}")


@pytest.mark.parametrize(
    ("text", "name", "indices"),
    [
        ("", "", ()),
        ("/a/b", "/a/b", ()),
        ("a[3]", "a", (3,)),
        ("a[2, -1]", "a", (2, -1)),
        ("[7]", "", (7,)),
        ("a[1][2]", "a[1]", (2,)),
        ("a[]", "a[]", ()),
        ("a[x]", "a[x]", ()),
        ("a[3]b", "a[3]b", ()),
        (f"a[{'9' * 5000}]", f"a[{'9' * 5000}]", ()),
    ],
)
def test_indices(text: str, name: str, indices: tuple[int, ...]) -> None:
    assert Selector.parse(text) == Selector(name, indices)


def test_formats_without_names_take_no_selector(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((2, 3, 4)))
    with pytest.raises(UsageError, match="nothing to choose by ':x'"):
        sources.read(f"{tmp_path / 'a.npy'}:x")


def test_new_extensions() -> None:
    wanted = {".cdf", ".h5", ".hdf5", ".he5", ".nc", ".nc4", ".nx", ".nxs", ".vdb"}
    assert wanted <= set(sources.extensions())
