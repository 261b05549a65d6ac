"""Boxes, upright and rotated: geometry, coding, losses between them."""
