"""``python -m tgn``."""

from tgn.cli import main

main()
