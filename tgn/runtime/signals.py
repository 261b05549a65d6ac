"""Ctrl-C, and the SIGTERM of a queue or container: what a program does when it is told to stop."""

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Any

STOPS = (signal.SIGINT, signal.SIGTERM)
IMPORTS = "<frozen importlib."  # the file of the frames of an import
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
    """Let SIGTERM unwind the program as Ctrl-C does, so that files and locks are tidied.

    While a module is imported the process ends at once, as :func:`ends_at_once` has it: an
    exception in the middle of an import leaves libraries half made, which then fail elsewhere or
    wait for ever. What it leaves on the disk is what a kill leaves.
    """
    with _handled(dict.fromkeys(STOPS, _raise_or_end)):
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

    with _handled(dict.fromkeys(STOPS, note)):
        yield partial(_stop_if_any, received)


@contextmanager
def stops_passed_on(send: Callable[[int], None]) -> Iterator[Callable[[], None]]:
    """Pass signals on to a command that runs in a process of its own, and let it end by itself.

    Args:
        send: takes the number of a signal.

    Yields:
        What stops this process too if one came; to be called when the command has ended.
    """
    received: list[int] = []

    def pass_on(number: int, _: Any) -> None:
        received.append(number)
        send(number)

    with _handled(dict.fromkeys(STOPS, pass_on)):
        yield partial(_stop_if_any, received)


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


def _raise_or_end(number: int, frame: FrameType | None) -> None:
    while frame is not None:
        if frame.f_code.co_filename.startswith(IMPORTS):
            os._exit(128 + number)
        frame = frame.f_back
    raise _exception(number)


def _stop_if_any(received: Sequence[int]) -> None:
    if received:
        raise _exception(received[0])


def _exception(number: int) -> BaseException:
    return Terminated() if number == signal.SIGTERM else KeyboardInterrupt()
