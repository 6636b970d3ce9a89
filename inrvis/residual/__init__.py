"""Coded grids of values: layers of a volume that no network holds."""
