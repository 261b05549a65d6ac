"""Upright (axis-aligned) and rotated boxes: geometry, overlap, regression coding, box losses."""
