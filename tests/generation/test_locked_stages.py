"""A stage that writes what another one reads at the moment is refused."""

import subprocess
import sys

import pytest
from tests_support import QUICK, in_process, other_process

from tgn import backends
from tgn.cli import main as cli


def may_write(folder) -> bool:
    code = (
        "from pathlib import Path; from tgn.runtime.locks import exclusive_writer\n"
        f"with exclusive_writer(Path({str(folder)!r})): pass"
    )
    return subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


@pytest.fixture
def command(monkeypatch, capsys):
    return in_process(cli.main, monkeypatch, capsys)


def test_tail_features_stay_while_a_generator_learns_from_them(trained, command, monkeypatch):
    seen = []
    monkeypatch.setattr(
        backends, "_imported", lambda _: lambda *_: seen.append(may_write(trained.kmdn))
    )
    assert may_write(trained.kmdn)
    assert command("train", "--backend", "diffusion", "--device", "cpu").code == 0
    assert seen == [False]


def test_distill_is_refused_while_the_features_are_read(trained, command):
    assert may_write(trained.kmdn)  # there is a lock
    record = (trained.path / "distill.yaml").read_bytes()
    settings = [word for key, value in QUICK.items() for word in ("--set", f"{key}={value}")]
    with other_process("kept_unchanged", trained.kmdn):
        done = command("distill", "--no-resume", *settings)
    assert (done.code, "another process uses" in done.stderr) == (2, True), done.stderr
    assert (trained.path / "distill.yaml").read_bytes() == record
