"""What several test rooms need: commands in this process, interruptions, made-up images."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
import yaml

from tgn.data.images import encode_image
from tgn.data.manifest import ManifestRow, ManifestWriter, read_manifest
from tgn.data.runs import Run
from tgn.runtime.files import sha256_of, write_bytes
from tgn.runtime.progress import Silent
from tgn.runtime.seals import CHECKSUM, sealed

QUICK = {"device": "cpu", "precision": "float32"}  # settings of verbs that compute

CDTG = {**QUICK, "size": 32, "width": 16, "batch_size": 4}  # small, quick

TINY = ("--set", "arch=tiny")  # of a training; the default network is a large one

SMALL_NETS = {"arch": "tiny", "size": 32}  # of a distillation; likewise
BARELY = {**SMALL_NETS, "steps": 4, "batch_size": 8, "bank_views": 2, "control": False}


class Done(NamedTuple):
    """How a command ended."""

    code: int
    stdout: str
    stderr: str


Command = Callable[..., Done]


def in_process(
    main: Callable[[], None], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """Return a function that runs a command line as the shell would, without a new process."""

    def run(*arguments: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["command", *arguments])
        code = 0
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
        return Done(code, *capsys.readouterr())

    return run


class Warned(Silent):
    """Keeps the warnings in ``said``."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def warn(self, text: str) -> None:
        self.said.append(text)


class Stops(Silent):
    """Interrupts, as Ctrl-C does, after some steps.

    Args:
        after: count of steps.
    """

    def __init__(self, after: int) -> None:
        self.left = after

    def advance(self, count: int = 1, note: str = "") -> None:
        self.left -= count
        if self.left <= 0:
            raise KeyboardInterrupt


def copied_run(made: Path, folder: Path) -> Run:
    """Copy a run and its data into another folder, where they are as if made there.

    Args:
        made: folder with ``data`` and ``runs``, made once a session.
        folder: of a test, which may change its copy.
    """
    shutil.copytree(made, folder, dirs_exist_ok=True)
    run = Run(folder / "runs" / "fake")
    for record in run.path.glob("*.yaml"):
        text = record.read_text(encoding="utf-8").replace(str(made), str(folder))
        # The readers and writers in C, which take a tenth of the time: most tests copy a run.
        content = {k: v for k, v in yaml.load(text, yaml.CSafeLoader).items() if k != CHECKSUM}
        written = yaml.dump(sealed(content), Dumper=yaml.CSafeDumper, sort_keys=False)
        record.write_text(written, encoding="utf-8")
    return run


def write_generated(run: Run, label: int, count: int) -> Path:
    """Write white images of one class as if they had been generated; return their folder."""
    folder, split = run.path / "generated", run.split()
    entry = split.classes[label]
    source = next(file for file, k in split.train if k == label)
    writer, rows = ManifestWriter(folder), []
    for i in range(count):
        file = f"{entry.folder}/{i:06d}.png"
        image = torch.full((3, 16, 16), 255, dtype=torch.uint8)
        write_bytes(folder / file, encode_image(image, "png"))
        rows.append(
            ManifestRow(
                file=file,
                folder=entry.folder,
                class_index=label,
                index=i,
                seed=i,
                noise=0.5,
                source=0,
                source_file=source,
                weights_sha256="0",
                sha256=sha256_of(folder / file),
            )
        )
    writer.append(rows)
    writer.finish()
    return folder


def change_rows(folder: Path, changes: Sequence[Mapping[str, Any]]) -> None:
    """Write the manifest of a folder anew with changed rows, in their order."""
    rows = list(read_manifest(folder))
    changed = [row.model_copy(update=own) for row, own in zip(rows, changes, strict=True)]
    writer = ManifestWriter(folder)
    writer.append(changed)
    writer.finish()


def damage(path: Path, how: str) -> None:
    """Cut a file in half, or change a bit: in the middle, at the end, in its first PNG image."""
    data = bytearray(path.read_bytes())
    if how == "cut short":
        del data[len(data) // 2 :]
    elif how == "last bit":
        data[-1] ^= 1
    elif how == "an image":
        data[data.index(b"IDAT") + 20] ^= 1
    else:
        data[len(data) // 2] ^= 1
    path.write_bytes(data)


@contextmanager
def other_process(how: str, folder: Path) -> Iterator[None]:
    """Let another process hold a lock of a folder, ``how`` being a function of the locks."""
    code = (
        "import sys; from pathlib import Path; from tgn.runtime import locks\n"
        f"with locks.{how}(Path({str(folder)!r})):\n"
        " print('in', flush=True); sys.stdin.read()"
    )
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "in\n"
            yield
        finally:
            process.kill()
