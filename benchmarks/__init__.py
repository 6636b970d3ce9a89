"""Measurements; each script writes its numbers with their provenance to benchmarks/results."""
