"""The command ``classify`` for the shell: a signal may come while the verbs are imported."""

import sys

from tgn.runtime.signals import ends_at_once


def main() -> None:
    """Run the command line and exit."""
    with ends_at_once():
        from classify.cli.verbs import app
        from tgn.runtime.command_options import OF_THE_RUN, with_lone_option
        from tgn.runtime.console import run_app

        sys.argv[1:] = with_lone_option(sys.argv[1:], "--augmented", OF_THE_RUN)
        run_app(app)
