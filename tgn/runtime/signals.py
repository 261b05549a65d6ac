"""Ctrl-C, and the SIGTERM of a queue or container: what a program does when it is told to stop."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

STOPS = (signal.SIGINT, signal.SIGTERM)
Handler = Callable[[int, Any], Any]


class Terminated(SystemExit):
    """SIGTERM came. As KeyboardInterrupt, it passes through all that handles mere errors."""

    def __init__(self) -> None:
        super().__init__(128 + signal.SIGTERM)


STOPPED = (KeyboardInterrupt, Terminated)  # what a signal raises


@contextmanager
def ends_at_once() -> Iterator[None]:
    """End the process without a word if a signal comes: nothing has begun that must be tidied.

    A program imports its parts within. Python's own way to say that this was interrupted is a
    traceback.
    """
    with _handled(dict.fromkeys(STOPS, lambda number, _: os._exit(128 + number))):
        yield


@contextmanager
def stops_are_exceptions() -> Iterator[None]:
    """Let SIGTERM unwind the program as Ctrl-C does, so that files and locks are tidied."""
    with _handled({signal.SIGINT: signal.default_int_handler, signal.SIGTERM: _terminate}):
        yield


@contextmanager
def stops_between_steps() -> Iterator[Callable[[], None]]:
    """Note both signals, and give what is to be called after each step: it stops if one came.

    A second one ends the process at once: nothing may then be saved of a step that is half done.
    Python tells the main thread only, so elsewhere signals are as they were.
    """
    received: list[int] = []

    def note(number: int, _: Any) -> None:
        if received:
            raise SystemExit(128 + number)
        received.append(number)

    def stop_if_received() -> None:
        if received:
            raise Terminated if received[0] == signal.SIGTERM else KeyboardInterrupt

    with _handled(dict.fromkeys(STOPS, note)):
        yield stop_if_received


@contextmanager
def _handled(handlers: dict[signal.Signals, Handler]) -> Iterator[None]:
    """Handle signals within, in the main thread; put back what handled them before."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _terminate(_number: int, _frame: Any) -> None:
    raise Terminated
