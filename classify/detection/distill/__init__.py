"""Distillation of detectors: feature mimicking, localization distillation, feature imitation."""
