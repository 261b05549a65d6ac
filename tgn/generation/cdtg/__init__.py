"""CDTG: a style-based generator in Haar-wavelet space, conditioned on class and tail features."""
