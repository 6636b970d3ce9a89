"""Parts that overlap what was decoded before."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import inrvis
from inrvis.decoder.parts import LastPart
from inrvis.decoder.volume import Volume
from inrvis.grid import Extent, ImageGrid
from inrvis.sources.image import Image

GRID = ImageGrid((3, 22, -4, 9, 0, 10))


class Counting:
    """Count the points of one array that a volume decodes."""

    def __init__(self, volume: Volume, monkeypatch: pytest.MonkeyPatch) -> None:
        self.points = 0
        decode = volume.decode_arrays

        def counted(*arguments: Any, **options: Any) -> Any:
            values = decode(*arguments, **options)
            self.points += int(np.prod(values[0].shape[:3]))
            return values

        monkeypatch.setattr(volume, "decode_arrays", counted)


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Volume]:
    path = tmp_path_factory.mktemp("parts") / "volume.inr"
    values = np.random.default_rng(0).random(GRID.shape).astype(np.float32)
    image = Image(GRID, {"a": values, "v": np.stack([values, -values], axis=-1)})
    inrvis.encode(image, path, target=inrvis.MaxError(1e-3), model="none")
    with inrvis.open(path) as opened:
        yield opened


def extents(grid: ImageGrid) -> st.SearchStrategy[Extent]:
    pairs = [st.tuples(*[st.integers(*grid.extent[i : i + 2])] * 2).map(sorted) for i in (0, 2, 4)]
    return st.tuples(*pairs).map(lambda p: (*p[0], *p[1], *p[2]))


@given(data=st.data(), stride=st.integers(1, 3))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_sequence_of_parts_is_what_decoding_gives(
    volume: Volume, data: st.DataObject, stride: int
) -> None:
    last = LastPart()
    for _ in range(3):
        extent = data.draw(extents(GRID.subgrid(stride=stride)))
        found = last.decode_arrays(volume, ["a", "v"], extent, stride=stride)
        source = GRID.source_extent(extent, stride)
        expected = volume.decode_arrays(["a", "v"], extent=source, stride=stride)
        assert found is not None
        for values, others in zip(found, expected, strict=True):
            np.testing.assert_array_equal(values, others)


def test_ghosts_cost_their_own_points_only(volume: Volume, monkeypatch: pytest.MonkeyPatch) -> None:
    last, counting = LastPart(), Counting(volume, monkeypatch)
    last.decode_arrays(volume, ["a"], (3, 10, -4, 9, 0, 10))
    assert counting.points == 8 * 14 * 11
    counting.points = 0
    last.decode_arrays(volume, ["a"], (3, 10, -4, 9, 0, 10))
    assert counting.points == 0
    last.decode_arrays(volume, ["a"], (3, 11, -4, 9, 0, 10))
    assert counting.points == 14 * 11
    counting.points = 0
    last.decode_arrays(volume, ["a"], (4, 8, -2, 3, 1, 1))
    assert counting.points == 0


def test_other_settings_are_decoded_anew(volume: Volume, monkeypatch: pytest.MonkeyPatch) -> None:
    last, counting = LastPart(), Counting(volume, monkeypatch)
    part: Extent = (3, 5, -4, -1, 0, 2)
    for arrays, stride, layers in (
        (["a"], 1, "all"), (["v"], 1, "all"), (["v"], 1, "base"), (["v"], 2, "base"),
    ):  # fmt: skip
        counting.points = 0
        extent = part if stride == 1 else (0, 2, 0, 3, 0, 2)
        last.decode_arrays(volume, arrays, extent, stride=stride, layers=layers)
        assert counting.points == 36


def test_stopped_leaves_what_was_there(volume: Volume) -> None:
    last = LastPart()
    first = last.decode_arrays(volume, ["a"], (3, 5, 0, 4, 0, 10))
    assert last.decode_arrays(volume, ["a"], GRID.extent, progress=lambda _: False) is None
    again = last.decode_arrays(volume, ["a"], (3, 5, 0, 4, 0, 10))
    assert again is first
    fractions: list[float] = []
    last.decode_arrays(volume, ["a"], GRID.extent, progress=fractions.append)
    assert fractions == sorted(fractions)
    assert fractions[-1] == pytest.approx(1)
