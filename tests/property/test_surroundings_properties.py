"""What spatial contexts see, against the words of docs/format.md."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from inrvis.decoder.surroundings import Surroundings, counted, phases, seen


@given(st.integers(0, 2**32 - 1), st.integers(1, 7), st.integers(1, 6), st.integers(0, 6))
def test_surroundings(seed: int, height: int, width: int, shift: int) -> None:
    """Phases and what is seen around a block, element by element as the document has them."""
    random = np.random.default_rng(seed)
    latents = random.integers(-9000, 9000, (1, 2, height, width)) / 16
    coded = random.random((height, width)) < 0.8
    known = np.zeros((height, width), dtype=bool)
    for number, phase in enumerate(phases(height, width)):
        for r, c in np.ndindex(height, width):
            first, second = r % 2 == c % 2 == 0, r % 2 == c % 2 == 1
            assert phase[r, c] == (first, second, not (first or second))[number]
        around, units = Surroundings(known), counted(latents)
        near, size = seen(around.mean(units), shift), seen(around.mean(np.abs(units)), 0)
        for r, c in np.ndindex(height, width):
            rows = range(max(r - 1, 0), min(r + 2, height))
            columns = range(max(c - 1, 0), min(c + 2, width))
            own = [(y, x) for y in rows for x in columns if known[y, x]]
            assert around.count[0, 0, r, c] == 28 * len(own)
            for channel in range(2):
                values = [int(16 * latents[0, channel, y, x]) for y, x in own]
                mean = sum(values) // max(len(own), 1)
                assert near[0, channel, r, c] == np.clip(mean // 2**shift, -255, 255)
                mean = sum(map(abs, values)) // max(len(own), 1)
                assert size[0, channel, r, c] == min(mean, 255)
        known |= phase & coded
