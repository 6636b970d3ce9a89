"""Masks come back as they went in, cost little, and no bytes can do harm."""

from __future__ import annotations

import hashlib
import zlib
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from inrvis.bitstream.masks import MAX_MASK_VOXELS, decode_mask, encode_mask
from inrvis.errors import FormatError, LimitError

Mask = NDArray[np.bool_]

SHAPES = st.tuples(st.integers(1, 40), st.integers(1, 40), st.integers(1, 40))
SMALL_SHAPES = hnp.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=9)
# A change here makes every file with a mask unreadable: it needs a new format version.
BALL_BYTES = 125
BALL_SHA256 = "e80bb216217a6c71ba70e798b835cf0ddae5eb9848f6dd131d5a3ee51cb719bf"


def ball(shape: tuple[int, int, int]) -> Mask:
    """Return the cells within an ellipsoid that does not touch the faces of longer axes."""
    radius = [0.8 * max(n - 1, 1) / 2 for n in shape]
    z, y, x = np.ogrid[tuple(slice(n) for n in shape)]
    steps = [(a - (n - 1) / 2) / r for a, n, r in zip((z, y, x), shape, radius, strict=True)]
    inside: Mask = sum(step * step for step in steps) <= 1
    return inside


def packed_bytes(mask: Mask) -> int:
    return -(-mask.size // 8)


def assert_round_trip(mask: Mask) -> bytes:
    data = encode_mask(mask)
    assert len(data) <= packed_bytes(mask) + 1
    decoded = decode_mask(data, mask.shape)
    assert decoded.dtype == np.bool_
    assert decoded.flags.c_contiguous
    assert decoded.flags.writeable
    np.testing.assert_array_equal(decoded, mask)
    return data


@settings(max_examples=100)
@given(hnp.arrays(np.bool_, SMALL_SHAPES))
def test_any_small_mask_comes_back(mask: Mask) -> None:
    assert_round_trip(mask)


@settings(max_examples=30)
@given(SHAPES, st.integers(0, 2**32), st.sampled_from([0.0, 0.001, 0.03, 0.5, 0.99, 1.0]))
def test_noise_of_any_shape_comes_back(shape: tuple[int, int, int], seed: int, ones: float) -> None:
    assert_round_trip(np.random.default_rng(seed).random(shape) < ones)


@settings(max_examples=30)
@given(SHAPES)
def test_a_ball_of_any_shape_comes_back(shape: tuple[int, int, int]) -> None:
    assert_round_trip(ball(shape))


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1, 300), (1, 300, 1), (300, 1, 1), (1, 64, 65)])
@pytest.mark.parametrize("value", [False, True])
def test_one_value_costs_next_to_nothing(shape: tuple[int, int, int], value: bool) -> None:
    assert len(assert_round_trip(np.full(shape, value))) <= 9


@pytest.mark.parametrize("value", [False, True])
def test_one_value_in_a_large_mask_costs_next_to_nothing(value: bool) -> None:
    assert len(assert_round_trip(np.full((130, 120, 110), value))) <= 9


def test_noise_does_not_grow() -> None:
    mask = np.random.default_rng(5).random((40, 50, 60)) < 0.5
    assert len(assert_round_trip(mask)) == packed_bytes(mask) + 1


def test_memory_order_and_source_do_not_matter() -> None:
    mask = ball((30, 40, 50))
    expected = encode_mask(mask)
    assert encode_mask(np.asfortranarray(mask)) == expected
    twice = np.repeat(mask, 2, axis=2)
    assert encode_mask(twice[:, :, ::2]) == expected


@pytest.mark.parametrize("axes", list(permutations(range(3))))
def test_the_order_of_axes_costs_little(axes: tuple[int, int, int]) -> None:
    mask = ball((24, 48, 72))
    size = len(assert_round_trip(np.ascontiguousarray(mask.transpose(axes))))
    assert size < 1.1 * len(encode_mask(mask))


def test_a_smooth_surface_costs_half_of_deflate() -> None:
    z, y, x = np.ogrid[:64, :64, :64]
    mask = z + 6 * np.sin(x / 7) + 4 * np.cos(y / 5 - x / 11) < 33
    assert 2 * len(assert_round_trip(mask)) < len(zlib.compress(np.packbits(mask).tobytes(), 9))


def test_the_bytes_are_the_pinned_ones() -> None:
    data = encode_mask(ball((13, 21, 30)))
    assert len(data) == BALL_BYTES
    assert hashlib.sha256(data).hexdigest() == BALL_SHA256


def test_a_mask_of_several_slabs_comes_back() -> None:
    mask = np.zeros((5, 1500, 1500), dtype=np.bool_)
    mask[:, 700:740, 690:735] = ball((5, 40, 45))
    mask[0, 0, 0] = mask[-1, -1, -1] = True
    assert len(assert_round_trip(mask)) < 700


def test_a_long_line_is_deflated() -> None:
    mask = np.zeros((1, 200_000, 1), dtype=np.bool_)
    mask[0, 70_000:90_000] = True
    data = assert_round_trip(mask)
    assert len(data) < 100
    for damaged in (data[:-3], data[:9] + b"\xff" + data[10:], data[:1]):
        with pytest.raises(FormatError, match="mask"):
            decode_mask(damaged, mask.shape)
    # Bytes that expand beyond the volume are not expanded.
    with pytest.raises(FormatError, match="too long"):
        decode_mask(b"\1" + zlib.compress(bytes(1 << 24), 9), mask.shape)


@settings(max_examples=100)
@given(st.binary(max_size=80), SMALL_SHAPES)
def test_any_bytes_decode_or_are_refused(data: bytes, shape: tuple[int, int, int]) -> None:
    try:
        mask = decode_mask(data, shape)
    except FormatError:
        return
    assert mask.shape == shape
    assert mask.dtype == np.bool_


@settings(max_examples=30)
@given(st.integers(0, BALL_BYTES - 1), st.integers(1, 255), st.booleans())
def test_damage_is_refused_or_harmless(position: int, change: int, cut: bool) -> None:
    mask = ball((13, 21, 30))
    data = bytearray(encode_mask(mask))
    data[position] ^= change
    try:
        decoded = decode_mask(bytes(data[:position] if cut else data), mask.shape)
    except FormatError:
        return
    assert decoded.shape == mask.shape
    assert decoded.dtype == np.bool_


@pytest.mark.parametrize("data", [b"", b"\3", b"\xff12345678", b"\2abc", b"\0", b"\0abc"])
def test_plainly_wrong_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(FormatError, match="mask"):
        decode_mask(data, (20, 30, 40))


def test_a_stream_with_more_behind_it_is_refused() -> None:
    mask = ball((13, 21, 30))
    with pytest.raises(FormatError, match="other data"):
        decode_mask(encode_mask(mask) + bytes(range(1, 41)), mask.shape)


def test_the_kind_must_be_the_one_of_the_shape() -> None:
    with pytest.raises(FormatError, match="mask"):
        decode_mask(encode_mask(ball((13, 21, 30))), (1, 13 * 21 * 30, 1))


@pytest.mark.parametrize("shape", [(2, MAX_MASK_VOXELS // 2, 2), (0, 4, 4), (-1, -1, 4)])
def test_shapes_beyond_the_limit_are_refused(shape: tuple[int, int, int]) -> None:
    with pytest.raises(LimitError, match="mask"):
        decode_mask(b"\2\0\0\0\0", shape)


@pytest.mark.parametrize(
    "array", [np.zeros((3, 3), bool), np.zeros((3, 3, 3), np.uint8), np.zeros((0, 3, 3), bool)]
)
def test_other_arrays_are_refused(array: NDArray[np.generic]) -> None:
    with pytest.raises(ValueError, match="boolean"):
        encode_mask(array)  # type: ignore[arg-type]
