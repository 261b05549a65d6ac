"""Metrics of image sets and classifiers: pure formulas on features, and a function for each."""
