"""Comparison of recipes over several seeds, and cross-validated classifiers."""
