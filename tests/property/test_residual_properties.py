"""Coders of grids: bounds hold for any values, any bytes decode or are refused."""

from __future__ import annotations

import zlib
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from inrvis import residual
from inrvis.errors import FormatError
from inrvis.residual import interpolation, wavelet
from inrvis.residual.wavelet import WaveletEncoder

SHAPES = st.tuples(*[st.integers(1, 9)] * 3)
DTYPES = st.sampled_from([np.dtype(np.float32), np.dtype(np.float64)])


@st.composite
def grids(draw: st.DrawFn) -> Any:
    dtype, shape = draw(DTYPES), draw(SHAPES)
    kind = draw(st.sampled_from(["any", "smooth", "integers", "steps"]))
    if kind == "any":
        largest = draw(st.sampled_from([2.0**-100, 1.0, 2.0**20, 2.0**100]))
        floats = st.floats(-largest, largest, width=32, allow_subnormal=True)
        return draw(npst.arrays(np.float64, shape, elements=floats)).astype(dtype)
    z, y, x = np.meshgrid(*(np.linspace(0, 3, n) for n in shape), indexing="ij")
    smooth = np.sin(x + draw(st.floats(0, 6))) * np.cos(2 * y) + z
    factor = draw(st.sampled_from([1.0, 1e-6, 300.0]))
    if kind == "integers":
        return np.rint(300 * smooth).astype(dtype)
    return ((smooth > 1) * factor if kind == "steps" else smooth * factor).astype(dtype)


def within(values: Any, decoded: Any) -> float:
    assert decoded.dtype == values.dtype
    assert decoded.shape == values.shape
    return float(np.abs(decoded - values).max())


@given(values=grids(), share=st.sampled_from([0.3, 1e-2, 1e-4, 1e-6]))
@settings(max_examples=50)
def test_a_bound_holds(values: Any, share: float) -> None:
    largest = float(np.abs(values).max())
    bound = share * (float(np.ptp(values)) or 1.0)
    # Of this it is said that it is never refused.
    assume(bound >= 8 * float(np.spacing(values.dtype.type(largest))))
    stream = interpolation.encode(values, bound)
    decoded = residual.decode("interpolation", stream, values.shape, values.dtype)
    assert within(values, decoded) <= bound


@given(values=grids(), step=st.sampled_from([2.0, 0.25, 1e-3]))
@settings(max_examples=40)
def test_wavelets_come_near(values: Any, step: float) -> None:
    spread = float(np.std(values, dtype=np.float64))
    assume(spread > 1e-25)
    coder = WaveletEncoder(values)
    estimate = coder.mean_squared_error(step * spread) * (step * spread) ** 2

    def error() -> float:
        data = coder.encode(step * spread)
        decoded = residual.decode("wavelet", data, values.shape, values.dtype)
        assert within(values, decoded) <= 4 * float(np.ptp(values))
        return float(np.square(decoded.astype(np.float64) - values).mean())

    with mock.patch.object(wavelet, "_ERROR_PER_BIT", 0.0):
        assert error() <= 20 * estimate + 1e-9 * spread**2
    # The estimate knows many coefficients. Of a few each may be a step off, where bits are dear.
    assert error() <= max(20 * estimate, 2.25 * (step * spread) ** 2) + 1e-9 * spread**2


@given(values=grids(), codec=st.sampled_from(residual.CODECS), data=st.data())
@settings(max_examples=50)
def test_damage_is_refused_or_harmless(values: Any, codec: str, data: st.DataObject) -> None:
    assume(float(np.abs(values).max()) < 1e20)
    # Neither codes integers of more than 52 bits.
    step = 0.01 * (float(np.ptp(values)) or 1.0) + 1e-3
    coded = (
        interpolation.encode(values, step)
        if codec == "interpolation"
        else WaveletEncoder(values).encode(step)
    )
    end = data.draw(st.integers(0, len(coded)))
    place, flip = data.draw(st.integers(0, len(coded) - 1)), data.draw(st.integers(0, 255))
    changed = bytearray(coded)
    changed[place] ^= flip
    for stream in (bytes(changed), coded[:end], bytes(changed[:end]), coded + b"\xff" * end):
        try:
            decoded = residual.decode(codec, stream, values.shape, values.dtype)
        except FormatError:
            continue
        assert decoded.shape == values.shape
        assert np.isfinite(decoded).all()


@given(codec=st.sampled_from(residual.CODECS), stream=st.binary(max_size=200), shape=SHAPES)
@settings(max_examples=100)
def test_any_bytes_decode_or_are_refused(
    codec: str, stream: bytes, shape: tuple[int, int, int]
) -> None:
    try:
        decoded = residual.decode(codec, stream, shape, np.dtype(np.float32))
    except FormatError:
        return
    assert np.isfinite(decoded).all()


def waves() -> Any:
    z, y, x = np.meshgrid(*(np.arange(n, dtype=np.float64) for n in (10, 13, 16)), indexing="ij")
    # Rational: the same double everywhere, whatever the mathematics library.
    return (x * (16 - x) * (y + 1) / (4 + z * z)).astype(np.float32)


def test_streams_of_interpolation_do_not_change() -> None:
    """A stream that is coded or read in another way needs a new format version."""
    coded = interpolation.encode(waves(), 0.05)
    decoded = residual.decode("interpolation", coded, (10, 13, 16), np.dtype(np.float32))
    assert (zlib.crc32(coded), zlib.crc32(decoded.tobytes())) == (1103238984, 2996677646)


# What an encoder wrote of `waves` with a step of 4; another one may weigh bits in another way.
WAVELETS = bytes.fromhex(
    "9ed8ed3a2a003840000000000000104007f80a0402030705c6feffff59b6286ae72696f43ba5266f"
    "3aea438a81bd192ac4480619a45fcdbece6f818198369b554dec91edd555a253feb9ef0cfb499775"
    "83c2014e3efe7e6e5d7ca11ac473118064ac6c02eb2dfe22efe304b48ad18e59cfb3d8b644a8ae30"
    "daf9f58c43e34685fdc16a9f5313eb129cced901f109486c92ea50c6f3d560ef6e404d05f0f1afcb"
    "cc396fe1bf3afeae653283e750357083123c2ee0cdf36db44b2b078fada2ad9b0517de78aedf0a51"
)


def test_streams_of_wavelets_are_read_alike() -> None:
    decoded = residual.decode("wavelet", WAVELETS, (10, 13, 16), np.dtype(np.float32))
    assert np.abs(decoded - waves()).max() < 6
    assert zlib.crc32(decoded.tobytes()) == 1096448656


@pytest.mark.parametrize("bound", [0.0, -1.0, np.inf, np.nan])
def test_bounds_that_are_none_are_refused(bound: float) -> None:
    with pytest.raises(ValueError, match="positive bound"):
        interpolation.encode(waves(), bound)


def test_a_bound_finer_than_the_type_is_refused() -> None:
    with pytest.raises(ValueError, match=r"too small|no size|too large|larger than"):
        interpolation.encode(waves(), 1e-12)


def test_an_unknown_codec_is_refused() -> None:
    with pytest.raises(FormatError, match="update inrvis"):
        residual.decode("zip", b"", (1, 1, 1), np.dtype(np.float32))
