"""Detectors of upright and rotated boxes: data, training, distillation, average precision."""
