"""Knows how to paint each kind of object and its surroundings on a canvas."""
