"""Detectors that say something of every place of the pyramid, boxes as distributions over bins."""
