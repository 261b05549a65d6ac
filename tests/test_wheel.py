"""The wheel is whole: built from the tree, installed elsewhere, it runs."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest


@pytest.mark.slow
def test_a_wheel_holds_both_packages_and_the_page_template(tmp_path):
    root = Path(__file__).parent.parent
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", str(tmp_path)]
    subprocess.run([*command, str(root)], check=True, capture_output=True)
    wheel = next(tmp_path.glob("tgn-*.whl"))
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"tgn/cli/main.py", "classify/cli/main.py", "tgn/report/report.html.j2"} <= names
    target = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "--no-deps", "--target", str(target)]
    subprocess.run([*install, str(wheel)], check=True, capture_output=True)
    code = "import tgn.cli.verbs, classify.cli.verbs; print(tgn.cli.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(target), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert str(target) in done.stdout
