"""Trained classifiers: evaluation, calibration, prediction, import and export."""
