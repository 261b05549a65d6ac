"""The command ``tgn``."""
