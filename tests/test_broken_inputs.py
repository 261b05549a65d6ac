"""Every verb of both programs meets every kind of broken input: one line, the file named, code 2.

The verbs and what they take are read from the programs, so that a new verb is tested as it comes.
"""

import errno
import inspect
import io
import json
import os
import shutil
import subprocess
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer
from help_support import commands_of
from tests_support import CDTG, QUICK, SMALL_NETS, Command, copied_run, in_process, write_generated

from classify.cli.main import main as classify_main
from classify.cli.verbs import app as classify_app
from tgn.cli.main import main as tgn_main
from tgn.cli.verbs import app as tgn_app

PROGRAMS = {"tgn": (tgn_app, tgn_main), "classify": (classify_app, classify_main)}
LEFT_OUT = (["tgn", "demo"], ["tgn", "app"])  # calls the others; waits for a browser

FEW = {"steps": 4, "batch_size": 8}
NETS = {**QUICK, **FEW, "arch": "tiny", "size": 16}
DETECTOR = {  # of a few MiB: every test copies it
    "device": "cpu", "size": 64, "batch_size": 2, "fpn_channels": 32, "steps": 1,
    "detector": "retinanet", "backbone": "test_efficientnet",
}  # fmt: skip
SETTINGS: dict[str, dict[str, Any]] = {  # so that a verb that works ends soon
    "tgn scenes": {"largest": 4, "imbalance": 2, "test_per_class": 1},
    "tgn distill": {**QUICK, **SMALL_NETS, **FEW, "bank_views": 2, "control": False},
    "tgn train": {**CDTG, "steps": 1, "clip": "none"},
    "tgn generate": {**QUICK, "n": 2},
    "tgn score": {"device": "cpu"},
    "tgn filter": {"device": "cpu"},
    "classify train": NETS,
    "classify compare": NETS,
    "classify multilabel": NETS,
    "classify detect train": DETECTOR,
}
OTHER_PATHS = ("config", "augmented", "generated", "teacher", "images")  # str, which may be paths
CONTENTS: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "cut": lambda whole: whole[: len(whole) // 2],
    "not text": lambda _: b"\xff\xfe\xfa\n\x80\x81\n",
    "of another kind": lambda _: b'{"a": [1, 2]}\n',
    "of another type": lambda _: b"[1, 2]\n",
}
LESS_OFTEN = ("empty", "not text", "of another type")
SUFFIXES = (".json", ".yaml", ".csv", ".zip", ".safetensors", ".pt", ".png")
LONG = "x" * 300
BESIDE = {  # verb, parameter -> other options that it needs
    ("classify detect predict", "submission"): {"results": "found.csv"},
    ("classify detect export", "image"): {"out_file": "net.onnx"},
    ("tgn assess", "data"): {"run": "new"},
    ("tgn score", "against"): {"folder": "runs/fake/generated"},
    ("tgn filter", "against"): {"folder": "runs/fake/generated"},
    ("classify train", "teacher"): {"method": "logit-kd"},
    ("classify multilabel", "teacher"): {"method": "lsh"},
    ("classify compare", "augmented"): {"recipes": "ce+generated"},
    ("classify compare", "teacher"): {"recipes": "logit-kd"},
}
OUTPUTS = ("out", "submission", "csv", "coco", "results")
NEEDED = {"classify compare": {"recipes": "ce"}}  # verb -> options that it needs, to be tiny
WITHOUT_SPLIT = ("classify predict", "classify export")  # a classifier knows its classes
READS_ONLY = ("classify predict",)


def traceback_of(error: Exception) -> str:
    """Return an error, and where it came from, in a line."""
    last = traceback.extract_tb(error.__traceback__)[-3:]
    return f"{error!r:.200} at {' < '.join(f'{one.filename}:{one.lineno}' for one in last[::-1])}"


class Verb(NamedTuple):
    """A verb, and its command as click has it."""

    words: list[str]
    command: Any

    @property
    def name(self) -> str:
        return " ".join(self.words)

    @property
    def options(self) -> set[str]:
        return {option for one in self.command.params for option in one.opts}


def verbs() -> Iterator[Verb]:
    """Yield every verb of both programs."""
    for program, (app, _) in PROGRAMS.items():
        for words in commands_of(app):
            command: Any = typer.main.get_command(app)
            for word in words:
                command = command.commands[word]
            if not hasattr(command, "commands") and [program, *words] not in LEFT_OUT:
                yield Verb([program, *words], command)


VERBS = list(verbs())


@pytest.fixture(scope="module")
def made(made_trained, tmp_path_factory) -> Path:
    """Make a run with everything in it, and data of each kind that a verb takes."""
    folder = tmp_path_factory.mktemp("broken")
    run = copied_run(made_trained, folder)
    write_generated(run, 2, 3)
    images = folder / "images"
    shutil.copytree(folder / "data" / "train" / "square", images)
    names = sorted(path.name for path in images.iterdir())[:8]
    (folder / "labels.json").write_text(
        json.dumps(
            {
                "images": [{"id": i, "file_name": name} for i, name in enumerate(names)],
                "categories": [{"id": 0, "name": "a"}, {"id": 1, "name": "b"}],
                "annotations": [
                    {"image_id": i, "category_id": i % 2, "bbox": [2, 2, 20, 20]} for i in range(8)
                ],
            }
        )
    )
    for sensor in ("eo", "sar"):
        (folder / "pairs" / sensor).mkdir(parents=True)
        shutil.copy(images / names[0], folder / "pairs" / sensor / names[0])
        table = folder / "pairs" / f"train_{sensor}.csv"
        table.write_text(f"img_name,class_id\n{names[0]},0\n")
    rows = [
        f"images/{name},{'test' if i > 5 else 'train'},{'ab'[i % 2]}"
        for i, name in enumerate(names)
    ]
    (folder / "table.csv").write_text("\n".join(["file,part,labels", *rows]) + "\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("TGN_RUNS", str(folder / "runs"))
        settings = [f"--set={key}={value}" for key, value in NETS.items()]
        detector = [f"--set={k}={v}" for k, v in DETECTOR.items()]
        for words in (
            ["train", *settings],
            ["detect", "train", "labels.json", "images", *detector],
        ):
            patch.setattr("sys.argv", ["classify", *words, "--name", "net"])
            with pytest.raises(SystemExit) as end:
                classify_main()
            assert not end.value.code
    return folder


@pytest.fixture
def place(made, tmp_path, monkeypatch) -> Path:
    """Give a copy of the run and the data, and work there."""
    copied_run(made, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TGN_RUNS", str(tmp_path / "runs"))
    return tmp_path


@pytest.fixture
def run(monkeypatch, capsys) -> Command:
    """Return what runs a command line; an error that is not put into words comes through."""
    programs = {name: in_process(main, monkeypatch, capsys) for name, (_, main) in PROGRAMS.items()}
    return lambda program, *words: programs[program](*words)


def given(verb: Verb, place: Path) -> dict[str, str]:
    """Return a value that works for what a verb requires, by the names of its parameters."""
    known = {
        "data": "data", "annotation_path": "labels.json", "labels": "labels.json",
        "images": "images", "table": "table.csv", "class_": "all",
        "file": "runs/fake/cdtg/generator.safetensors", "name": "net",
    }  # fmt: skip
    known |= {"data": "pairs"} if verb.name == "tgn pairs" else {}
    values = dict(NEEDED.get(verb.name, {}))
    for one in verb.command.params:
        if one.required:
            values[one.name] = known.get(one.name, str(place / "made" / one.name))
    return values


def words_of(verb: Verb, values: dict[str, str], *more: str) -> list[str]:
    """Return a command line: arguments in their order, then options."""
    words = list(verb.words)
    for one in verb.command.params:
        if one.name in values and one.param_type_name == "option":
            words += [one.opts[0], *values[one.name].split("\n")]
    settings = [f"{key}={value}" for key, value in SETTINGS.get(verb.name, {}).items()]
    words += [word for one in settings for word in ("--set", one)]
    if "--run" in verb.options and "run" not in values:
        words += ["--run", "new" if verb.name == "tgn split" else "fake"]
    arguments = [one.name for one in verb.command.params if one.param_type_name == "argument"]
    return [*words, *more, *(values[name] for name in arguments if name in values)]


def problem(done: Any, *files: str, may_end_well: bool = False) -> str:
    """Return what is wrong with the end of a command, or ""."""
    if may_end_well and done.code == 0:
        return ""
    lines = [line for line in done.stderr.splitlines() if "error" in line]
    if done.code != 2:
        return f"code {done.code}: {done.stderr[-300:]}"
    if len(lines) != 1 or not lines[0].startswith("error: ") or len(lines[0]) > 3000:
        return f"no one line: {done.stderr[-600:]}"
    if files and not any(file in lines[0] for file in files):
        return f"{files} not named: {lines[0]}"
    return ""


def check(found: str) -> None:
    if found:
        pytest.fail(found, pytrace=False)


def broken_paths(place: Path, is_output: bool) -> Iterator[tuple[str, Path]]:
    """Yield kind and path of what cannot be read, or written."""
    bad = place / "bad"
    bad.mkdir()
    (bad / "text").write_text("a file\n")
    yield "below a file", bad / "text" / "below"
    yield "name too long", bad / LONG
    if is_output:
        return
    yield "missing", bad / "missing"
    (bad / "folder").mkdir()
    yield "an empty folder", bad / "folder"
    kinds = list(CONTENTS)
    suffixed = [(kind, "") for kind in kinds]
    suffixed += [(kinds[k % len(kinds)], suffix) for k, suffix in enumerate(SUFFIXES)]
    for kind, suffix in suffixed:
        path = bad / f"{kind.replace(' ', '-')}{suffix}"
        path.write_bytes(CONTENTS[kind](b"\x89PNG\r\n\x1a\n" + bytes(40)))
        yield f"{kind}{suffix}", path


def paths_of(verb: Verb) -> Iterator[Any]:
    """Yield the parameters of a verb that name a file or folder."""
    annotations = inspect.signature(verb.command.callback).parameters
    for one in verb.command.params:
        takes_path = one.name in annotations and "Path" in str(annotations[one.name].annotation)
        if one.nargs == 1 and (takes_path or one.name in OTHER_PATHS):
            yield one


CASES = [(verb, one) for verb in VERBS for one in paths_of(verb)]


@pytest.mark.parametrize(
    ("verb", "parameter"), CASES, ids=[f"{verb.name} {one.name}" for verb, one in CASES]
)
def test_what_the_command_line_names(verb, parameter, place, run):
    is_output = parameter.name.startswith(OUTPUTS) or verb.name == "classify export"
    wrong = {}
    if verb.name == "tgn import":
        (place / "runs" / "fake" / "cdtg" / "generator.safetensors").unlink()
    for kind, path in broken_paths(place, is_output):
        if parameter.name == "config" and kind.startswith("empty"):
            continue  # no settings are none
        values = {**given(verb, place), **BESIDE.get((verb.name, parameter.name), {})}
        values[parameter.name] = str(path)
        try:
            done = run(*words_of(verb, values))
        except Exception as error:
            wrong[kind] = traceback_of(error)
            continue
        if found := problem(done, path.name, LONG[:40], str(path.parent)):
            wrong[kind] = found
    check("\n".join(f"{kind}: {what}" for kind, what in wrong.items()))


OF_A_RUN = [verb for verb in VERBS if "--run" in verb.options and verb.name != "tgn split"]


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, marks=[pytest.mark.slow] if kind in LESS_OFTEN else [])
        for kind in CONTENTS
    ],
)
@pytest.mark.parametrize("verb", OF_A_RUN, ids=lambda verb: verb.name)
def test_the_split_of_the_run(verb, kind, place, run):
    path = place / "runs" / "fake" / "split.json"
    path.write_bytes(CONTENTS[kind](path.read_bytes()))
    done = run(*words_of(verb, given(verb, place)))
    check(problem(done, "split.json", "exists", may_end_well=verb.name in WITHOUT_SPLIT))


def read_only(patch: pytest.MonkeyPatch, root: Path) -> None:
    """Let nothing be written below a folder, as on a disk that is mounted so."""

    def refusing(real: Callable[..., Any], writes: Callable[..., bool]) -> Callable[..., Any]:
        def call(path: Any, *args: Any, **kwargs: Any) -> Any:
            inside = not isinstance(path, int) and str(root) in os.path.abspath(path)  # noqa: PTH100
            if inside and writes(*args, **kwargs):
                raise OSError(errno.EROFS, os.strerror(errno.EROFS), os.fspath(path))
            return real(path, *args, **kwargs)

        return call

    def opens(mode: Any = "r", *_: Any, **__: Any) -> bool:
        return bool(set(str(mode)) & set("wax+"))

    def opens_flags(flags: int, *_: Any, **__: Any) -> bool:
        return bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))

    for module in (io, __import__("builtins")):
        patch.setattr(module, "open", refusing(open, opens))
    patch.setattr(os, "open", refusing(os.open, opens_flags))
    for name in ("mkdir", "unlink", "rename", "replace"):
        patch.setattr(os, name, refusing(getattr(os, name), lambda *_, **__: True))


def full(patch: pytest.MonkeyPatch, _: Path) -> None:
    """Let every byte that is written find the disk full, in Python and in safetensors."""
    from safetensors import SafetensorError

    from tgn.runtime import checkpoints, files

    def no_space(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # the system names no file

    def no_space_in_rust(*_: Any, **__: Any) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left (os error 28)")

    patch.setattr(files.os, "fsync", no_space)
    patch.setattr(checkpoints, "save_file", no_space_in_rust)


def forbidden(patch: pytest.MonkeyPatch, root: Path) -> None:
    """Let no image of the data be read, as where it belongs to somebody else."""
    from tgn.data import images

    real = Path.open

    def refuse(path: Path, *args: Any, **kwargs: Any) -> Any:
        if path.suffix == ".png" and "data" in path.parts:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return real(path, *args, **kwargs)

    patch.setattr(images.Path, "open", refuse)


DISKS = {"read-only": read_only, "full": full, "forbidden": forbidden}


@pytest.mark.parametrize("disk", DISKS)
@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.name)
def test_a_disk_that_refuses(verb, disk, place, run, monkeypatch):
    words = words_of(verb, given(verb, place))
    with monkeypatch.context() as patch:
        DISKS[disk](patch, place)
        done = run(*words)
    check(problem(done, str(place), "runs/", "data/", "data:", "made/", may_end_well=True))
    if disk == "read-only" and done.code == 0:
        check("" if verb.name in READS_ONLY else "it says that all went well")


@contextmanager
def mounted(disk: str, place: Path, above: Path) -> Iterator[Path]:
    """Give a folder with the content of ``place`` on a disk of its own, to which nothing fits."""

    def mount(*words: str) -> None:
        done = subprocess.run(["mount", *words], capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"needs the right to mount: {done.stderr.strip()}")

    folder = above / "disk"
    folder.mkdir()
    mount("-t", "tmpfs", "-o", "size=200m", "none", str(folder))
    try:
        shutil.copytree(place, folder, dirs_exist_ok=True)
        if disk == "read-only":
            mount("-o", "remount,ro", str(folder))
        else:
            room = int(disk.split()[1]) << 10
            (folder / "filling").write_bytes(bytes(shutil.disk_usage(folder).free - room))
        yield folder
    finally:
        os.chdir(above)
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.faults
@pytest.mark.parametrize("disk", ["read-only", "full, 0 KiB", "full, 64 KiB"])
@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.name)
def test_a_real_disk_that_refuses(verb, disk, made, tmp_path, run, monkeypatch):
    with mounted(disk, made, tmp_path) as folder:
        monkeypatch.chdir(folder)
        monkeypatch.setenv("TGN_RUNS", str(folder / "runs"))
        done = run(*words_of(verb, given(verb, folder)))
        check(problem(done, str(folder), "runs/", "data/", "made/", may_end_well=True))
