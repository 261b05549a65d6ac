"""``python -m tgn``."""

from tgn.cli.main import main

main()
