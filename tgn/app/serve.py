"""Serving the page until the process is told to stop, without a trace left behind."""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory

from tgn.data.runs import Run
from tgn.runtime.errors import UserError
from tgn.runtime.progress import Progress

CACHE = "GRADIO_TEMP_DIR"


def serve(run: Run, host: str, port: int | None, device: str, progress: Progress) -> None:
    """Show the page of a run until a signal raises an exception.

    Args:
        run: the run.
        host: address to listen on.
        port: 1 to 65535; None is the first free one from 7860.
        device: where images are computed.
        progress: shows how far the work is.

    Raises:
        NotFoundError: if the run has no trained generator.
        UserError: if the address or the port cannot be used, or without Gradio.
    """
    _check_address(host, port)
    with _folder_of_its_own():
        from tgn.app.page import build_page, launch  # Gradio notes its folder when it is imported

        page = build_page(run, device, progress)
        try:
            launch(page, host, port)
            threading.Event().wait()
        finally:
            page.close(verbose=False)


def _check_address(host: str, port: int | None) -> None:
    """Refuse an address that cannot be listened on, before anything is loaded."""
    try:
        family = socket.getaddrinfo(host, port)[0][0]
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port or 0))
    except OSError as error:
        where = f"--host {host}" if port is None else f"--host {host} --port {port}"
        raise UserError(f"{where} cannot be used: {error.strerror}; try another") from None


@contextmanager
def _folder_of_its_own() -> Iterator[None]:
    """Keep the pictures that Gradio writes in a folder that is deleted at the end."""
    with TemporaryDirectory(prefix="tgn-app-", ignore_cleanup_errors=True) as folder:
        os.environ[CACHE] = folder
        try:
            yield
        finally:
            del os.environ[CACHE]
