"""Detector networks: backbones with feature pyramids, dense heads, anchor assignment, losses."""
