"""Ctrl-C, and the SIGTERM of a queue or container, wait for the end of a step."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

STOPS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def stops_between_steps() -> Iterator[Callable[[], None]]:
    """Note both signals, and give what is to be called after each step: it interrupts if one came.

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
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield stop_if_received
        return
    before = {number: signal.signal(number, note) for number in STOPS}
    try:
        yield stop_if_received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
