"""Classes with hostile names go through every verb: nothing breaks, nothing is obeyed."""

import json
from pathlib import Path

import pytest
from conftest import draw_folder
from test_broken_inputs import PROGRAMS, VERBS, Verb, check, given, problem, words_of
from tests_support import Command, in_process

NAMES = (
    "closing", "$\\frac{$", "x.tar", "\x1b[31mred\x07", "new\nline", "page", "[bold]x", "a\\b",
    "-dash", "_under", "{0}%s", 'a,b;"c"', "\u202eltr", "مطار", "✈️🛬", "L" * 230,
)  # fmt: skip
SHOWN_AS = {"closing": "[/red]", "page": "<script>&\"'</script>"}  # in names.json: with a slash
IN_ORDER = (  # what makes what others take
    "tgn split", "classify train", "tgn distill", "tgn train", "tgn generate", "tgn score",
    "tgn filter", "classify compare", "classify detect train",
)  # fmt: skip
SLICE = ("tgn split", "classify train", "classify evaluate", "classify predict", "tgn report")
LEFT_OUT = ("tgn scenes", "tgn import")  # make names of their own; a generator is there
REFUSED = ("classify import", "classify detect publish", "tgn pairs")  # their inputs are no such
SHOWN = {"classify evaluate": "[/red]", "tgn split": "\\x1b[31mred\\x07", "tgn filter": "{0}%s"}


@pytest.fixture
def run(monkeypatch, capsys) -> Command:
    """Return what runs a command line; an error that is not put into words comes through."""
    programs = {name: in_process(main, monkeypatch, capsys) for name, (_, main) in PROGRAMS.items()}
    return lambda program, *words: programs[program](*words)


def make_inputs(folder: Path, names: tuple[str, ...]) -> None:
    """Write a data folder, and labels, a table and sensors with such names."""
    draw_folder(folder / "data", {name: 8 - k // 3 for k, name in enumerate(names)}, test=2)
    shown = {name: SHOWN_AS[name] for name in names if name in SHOWN_AS}
    (folder / "data" / "names.json").write_text(json.dumps(shown))
    names = names[1:3]  # of annotated objects
    draw_folder(folder / "drawn", {"images": 8}, test=1)
    images = (folder / "drawn" / "train" / "images").rename(folder / "images")
    files = sorted(path.name for path in images.iterdir())
    boxes = [{"image_id": k, "category_id": k % 2, "bbox": [2, 2, 20, 20]} for k in range(8)]
    coco = {
        "images": [{"id": k, "file_name": name} for k, name in enumerate(files)],
        "categories": [{"id": k, "name": name} for k, name in enumerate(names)],
        "annotations": boxes,
    }
    (folder / "labels.json").write_text(json.dumps(coco))
    rows = [
        f"images/{f},{'test' if k > 5 else 'train'},{names[k % 2]}" for k, f in enumerate(files)
    ]
    (folder / "table.csv").write_text("\n".join(["file,part,labels", *rows]) + "\n")
    for sensor in ("eo", "sar"):
        place = folder / "pairs" / sensor
        place.mkdir(parents=True)
        (place / files[0]).write_bytes((images / files[0]).read_bytes())
        table = folder / "pairs" / f"train_{sensor}.csv"
        table.write_text(f"img_name,class_id\n{files[0]},{names[0]}\n")


def in_order() -> list[Verb]:
    """Return all verbs, each behind those whose results it takes."""
    ranks = {name: rank for rank, name in enumerate(IN_ORDER)}
    chosen = [verb for verb in VERBS if verb.name not in LEFT_OUT]
    return sorted(chosen, key=lambda verb: ranks.get(verb.name, len(ranks)))


def end_of(verb: Verb, place: Path, run: Command) -> str:
    """Run a verb; return what is wrong with its end or with what it says, or ""."""
    values = given(verb, place) | ({"run": "fake"} if verb.name == "tgn split" else {})
    values |= {"name": "net"} if verb.name == "classify train" else {}
    done = run(*words_of(verb, values))
    said = done.stdout + done.stderr
    strange = {one for one in said if not one.isprintable()} - {"\n", "\t"}
    if strange:
        return f"it writes {strange!r}"
    if verb.name in SHOWN and SHOWN[verb.name] not in said:
        return f"{SHOWN[verb.name]} is not shown: {said[-500:]}"
    if done.code and verb.name not in REFUSED:
        return f"code {done.code}: {said[-500:]}"
    return problem(done, may_end_well=True)


@pytest.mark.usefixtures("charts")
@pytest.mark.parametrize(
    ("count", "only"),
    [
        pytest.param(5, SLICE, id="slice"),
        pytest.param(len(NAMES), None, id="every verb", marks=pytest.mark.fuzz),
    ],
)
def test_every_verb(count, only, tmp_path, run, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TGN_RUNS", str(tmp_path / "runs"))
    make_inputs(tmp_path, NAMES[:count])
    chosen = [verb for verb in in_order() if only is None or verb.name in only]
    wrong = {verb.name: found for verb in chosen if (found := end_of(verb, tmp_path, run))}
    check("\n".join(f"{name}: {what}" for name, what in wrong.items()))
