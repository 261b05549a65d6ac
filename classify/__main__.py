"""``python -m classify``."""

from classify.cli.main import main

main()
