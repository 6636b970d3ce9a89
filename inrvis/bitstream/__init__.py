"""Entropy coding of integers with integer probability tables; no floats, no model code."""

from __future__ import annotations

from inrvis.bitstream.coder import IntegerDecoder, IntegerEncoder
from inrvis.bitstream.tables import NUMBER_OF_TABLES, counts, reach

__all__ = ["NUMBER_OF_TABLES", "IntegerDecoder", "IntegerEncoder", "counts", "reach"]
