"""The command ``tgn`` as a user meets it: help, plans, one-line errors, exit codes."""

import errno
import subprocess
import sys
import threading

import pytest
import typer
import yaml
from safetensors import SafetensorError
from tests_support import Command, in_process

from tgn.cli import demo
from tgn.cli import main as cli
from tgn.runtime import console
from tgn.runtime.errors import UserError
from tgn.runtime.files import write_json

VERBS = (
    "scenes", "chips", "pairs", "split", "distill", "train", "import", "generate", "score",
    "filter", "report", "app", "demo",
)  # fmt: skip


@pytest.fixture
def tgn(monkeypatch, capsys) -> Command:
    return in_process(cli.main, monkeypatch, capsys)


def test_the_module_runs_as_a_program():
    command = [sys.executable, "-m", "tgn", "--version"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "0.1.0\n"


def test_split_warns_of_classes_that_are_numbers_without_names(fake_folder, in_tmp, tgn):
    data = fake_folder({"0": 6, "1": 5, "2": 4})
    done = tgn("split", str(data), "--run", "numbers")
    assert done.code == 0, done.stderr
    assert "put names.json (folder to name)" in done.stderr
    write_json(data / "names.json", {"0": "airport", "1": "bridge", "2": "dam"})
    assert "names.json" not in tgn("split", str(data), "--run", "named").stderr


def test_help_does_not_wait_for_what_only_verbs_need():
    heavy = ("torch", "numpy", "torchvision", "timm", "accelerate", "open_clip", "matplotlib")
    modules = "tgn.cli.verbs, classify.cli.verbs"
    code = f"import sys, {modules}; print([m for m in {heavy} if m in sys.modules])"
    command = [sys.executable, "-c", code]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "[]\n"


def test_help_names_every_verb_and_settings(tgn):
    shown = tgn("--help")
    assert shown.code == 0
    assert all(verb in shown.stdout for verb in VERBS)
    assert "--help-settings" in tgn("train", "-h").stdout
    assert "diversity_weight" in tgn("train", "--help-settings").stdout


def test_from_scenes_to_split_with_plans_on_the_way(in_tmp, tgn):
    few = ("--set", "largest=6", "--set", "imbalance=2", "--set", "test_per_class=2")
    assert "would do" in tgn("scenes", "data", "--dry-run", *few).stdout
    assert not (in_tmp / "data").exists()
    made = tgn("scenes", "data", *few)
    assert (made.code, "next: tgn split data" in made.stdout) == (0, True), made.stderr
    plan = tgn("split", "data", "--dry-run")
    assert "ground_track_field" in plan.stdout
    assert not (in_tmp / "runs").exists()
    assert tgn("split", "data", "--run", "first").code == 0
    again = tgn("split", "data", "--run", "first")
    assert (again.code, "exists" in again.stderr) == (2, True)
    train = tgn("distill", "--dry-run", "--set", "steps=5")
    assert "steps: 5" in train.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["generate", "--class", "car"], "valid: 0 = disc, 1 = bar, 2 = cross; head classes"),
        (["generate", "--class", "9"], "valid: 0 = disc"),
        (["generate", "--class", "every"], "tgn train"),
        (["generate", "--class", "0", "--noise", "2"], "less than or equal to 1"),
        (["generate", "--class", "0", "--n", "0"], "greater than or equal to 1"),
        (["generate", "--class", "0"], "tgn train"),
        (["train"], "tgn distill"),
        (["score"], "tgn generate"),
        (["train", "--set", "size=48"], "size"),
        (["train", "--set", "preset=base"], "preset"),
        (["split", "nowhere"], "expected class folders"),
        (["chips", "a.json", "b", "c"], "no image folder"),
        (["trian"], "trian"),
    ],
)
def test_mistakes_are_one_line_and_exit_2(fake_run, tgn, arguments, message):
    done = tgn(*arguments)
    assert done.code == 2, done.stderr
    assert message in done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("error: ")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UserError("wrong"), 2),
        (OSError(errno.ENOSPC, "full"), 2),
        (KeyboardInterrupt(), 130),
    ],
)
def test_exit_codes(error, code, capsys):
    def fails(**_):
        raise error

    with pytest.raises(SystemExit) as end:
        console.run_app(fails)
    assert end.value.code == code


@pytest.mark.parametrize(("ending", "code"), [(typer.Exit(3), 3), (KeyboardInterrupt(), 130)])
def test_exit_codes_of_a_verb_reach_the_shell(ending, code, monkeypatch):
    app = typer.Typer()

    @app.command()
    def verb() -> None:
        raise ending

    monkeypatch.setattr(sys, "argv", ["verb"])
    with pytest.raises(SystemExit) as end:
        console.run_app(app)
    assert end.value.code == code


def test_the_demo_ends_with_the_code_of_the_command_that_failed(in_tmp, tgn, monkeypatch):
    monkeypatch.setattr(demo, "run_command", lambda _: 7)
    assert tgn("demo").code == 7


def test_the_demo_ends_with_the_verdict(fake_run, tgn, monkeypatch):
    monkeypatch.setattr(demo, "RUN", "fake")
    monkeypatch.setattr(demo, "run_command", lambda _: 0)
    verdict = {"sentence": "Do not [b]generate[/b]: use ce."}
    write_json(fake_run.comparison_file, {"verdict": verdict})
    assert tgn("demo").stdout.splitlines()[-1] == "Do not [b]generate[/b]: use ce."
    fake_run.comparison_file.unlink()
    assert tgn("demo", "--dry-run").code == 0


def test_a_bug_of_ours_is_not_hidden():
    def fails(**_):
        raise RuntimeError("ours")

    with pytest.raises(RuntimeError, match="ours"):
        console.run_app(fails)


def test_the_demo_runs_every_stage_in_order(tmp_path):
    verbs = [command[:2] for command in demo.commands(tmp_path, seed=0)]
    order = ["scenes", "split", "assess", "distill", "train", "generate", "score"]
    assert verbs[:7] == [["tgn", verb] for verb in order]
    assert verbs[7:] == [["classify", "compare"], ["tgn", "report"]]
    (tmp_path / demo.RUN).mkdir()
    (tmp_path / demo.RUN / "run.yaml").write_text("")
    assert ["tgn", "split"] not in [c[:2] for c in demo.commands(tmp_path, seed=0)]


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError(errno.EROFS, "Read-only", "/r/a"), "/r/a: read-only; choose another place"),
        (OSError(errno.ENAMETOOLONG, "Too long", "/x"), "/x: too long; choose a shorter name"),
        (IsADirectoryError(errno.EISDIR, "Is a directory", "a"), "a: is a directory; expected a"),
        (UnicodeDecodeError("utf-8", b"a\xff", 1, 2, "bad"), "not UTF-8 text (byte 0xff at"),
        (yaml.YAMLError("a\nb"), "not YAML: a b"),
        (SafetensorError("cut"), "SafetensorError: cut"),
        (UnicodeEncodeError("utf-8", f"{'a' * 90}\udce9", 90, 91, "bad"), "'aaa"),
        (RuntimeError("Symlink loop from '/x'"), "Symlink loop from '/x'; the symbolic link"),
        (MemoryError(), "the memory is full"),
    ],
)
def test_errors_that_a_user_can_cause_are_one_line(error, line, capsys):
    def fails(**_):
        raise error

    with pytest.raises(SystemExit) as end:
        console.run_app(fails)
    shown = capsys.readouterr().err
    assert (end.value.code, len(shown.splitlines())) == (2, 1)
    assert f"error: {line}" in shown


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("split", ""), "an argument"),
        (("split", "data", "--run", ""), "--run"),
        (("report", "--run="), "--run"),
        (("scenes", "", "--dry-run"), "an argument"),
    ],
)
def test_an_empty_word_is_no_path(in_tmp, tgn, words, what):
    done = tgn(*words)
    assert done.code == 2
    assert f"error: {what} got '', expected a value" in done.stderr


@pytest.mark.parametrize("port", ["0", "-1", "70000", "abc"])
def test_a_port_that_cannot_be_one_is_one_line(in_tmp, tgn, port):
    done = tgn("app", "--port", port)
    assert (done.code, len(done.stderr.splitlines())) == (2, 1)
    assert "--port" in done.stderr


def test_data_below_a_folder_that_is_not_utf8_is_refused_at_once(in_tmp, tgn, fake_folder):
    name = b"caf\xe9".decode(errors="surrogateescape")
    fake_folder({"a": 6, "b": 4}).rename(in_tmp / name)
    done = tgn("split", name)
    assert (done.code, "is not UTF-8 text; rename its folders" in done.stderr) == (2, True)


def test_an_empty_tgn_runs_is_none(in_tmp, tgn, monkeypatch):
    monkeypatch.setenv("TGN_RUNS", "")
    assert "in checkpoints" in tgn("report").stderr


def test_a_thread_of_a_library_warns_in_a_line(capsys):
    def starts_a_thread(**_):
        thread = threading.Thread(target=(lambda: open("/proc/none/x", "w")))  # noqa: PTH123, SIM115
        thread.start()
        thread.join()

    with pytest.raises(SystemExit) as end:
        console.run_app(starts_a_thread)
    assert not end.value.code
    assert capsys.readouterr().err.startswith("warning: /proc/none/x: no such file")
