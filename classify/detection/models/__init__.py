"""Detectors: backbones, dense heads, label assignment, losses."""
