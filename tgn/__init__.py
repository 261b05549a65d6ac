"""Draw new images of the rare classes of a long-tailed image set (TGN, TGRS 2024)."""

__version__ = "0.1.0"
