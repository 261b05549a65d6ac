"""Detectors of upright and rotated boxes, and their distillation."""
