"""What every program needs whatever it computes: settings, files, devices, the training loop.

Shape letters used in all docstrings: B batch, C classes (or channels where said), K bins,
D feature, N rows of a set, H W space, T temperature. Images: ``_pm1`` floats in [-1, 1],
``_u8`` bytes in 0..255, both [B, bands, H, W].
"""
