"""The page: complete, escaped, and alone in the world."""

import re

import torch
from tests_support import write_generated

from tgn.core.files import write_json, write_text
from tgn.core.grids import save_grid
from tgn.core.manifest import MANIFEST
from tgn.core.split import ClassEntry, read_split, write_split
from tgn.report.page import number, percent, write_report

HOSTILE = "<script>alert('x')</script> & ünïcode $x$"


def interval(mean: float) -> dict[str, object]:
    return {"mean": mean, "half_width": 0.01, "values": [mean]}


def fill(run) -> None:
    """Write a small file of every kind that the page reads."""
    split = read_split(run.path / "split.json")
    entries = [
        ClassEntry(**{**entry.model_dump(), "name": f"{HOSTILE} {k}"})
        for k, entry in enumerate(split.classes)
    ]
    write_split(run.path / "split.json", split.model_copy(update={"classes": tuple(entries)}))
    write_generated(run, label=3, count=10)
    groups = {"head": 0.9, "tail": 0.5}
    net = {"before": groups, "after": groups}
    accuracy = {"tail_net": net, "head_net": net, "part": "test", "before_means": "warm-up"}
    write_json(run.path / "kmdn" / "accuracy.json", accuracy)
    for stage in ("kmdn", "cdtg"):
        lines = '{"step": 1, "loss": 2.0}\n{"step": 2, "loss": 1.0, "late": 3.0}\n'
        write_text(run.path / stage / "metrics.jsonl", lines)
    alarm = f'{{"step": 2, "class": "a", "share": 0.1, "text": "step 2: {HOSTILE}"}}\n'
    write_text(run.path / "cdtg" / "alarms.jsonl", alarm)
    picture = torch.zeros(2, 3, 8, 8, dtype=torch.uint8)
    save_grid(run.path / "cdtg" / "grids" / "0000002.png", [picture], ["a"], ["real", "r=1"])
    table = {
        "seeds": 3,
        "interval": "95%",
        "recipes": {"ce": {"tail": interval(0.4)}, "ce+generated": {"tail": interval(0.5)}},
        "gains": {"ce": {"tail": interval(0.1)}},
    }
    write_json(run.path / "compare.json", table)


def test_a_full_page_is_escaped_and_asks_for_nothing(fake_run):
    fill(fake_run)
    page = write_report(fake_run).read_text(encoding="utf-8")
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert not re.search(r"https?://|@import|url\(", page)
    assert all(
        src.startswith("data:image/png;base64,") for src in re.findall(r'src="([^"]*)"', page)
    )
    assert "generated images add to ce" in page
    assert "50.0 ± 1.0" in page
    assert page.count('alt="generated"') == 8
    assert page.count('alt="source"') == 8


def test_what_is_missing_names_its_command(fake_run):
    page = write_report(fake_run).read_text(encoding="utf-8")
    for command in ("classify compare", "tgn score", "tgn generate", "tgn train", "tgn distill"):
        assert command in page


def test_a_lost_image_does_not_stop_the_page(fake_run):
    fill(fake_run)
    next((fake_run.path / "generated").glob("*/*.png")).unlink()
    assert (fake_run.path / "generated" / MANIFEST).is_file()
    assert write_report(fake_run).is_file()


def test_numbers_for_people():
    assert (percent(0.5), percent(None)) == ("50.0", "–")
    assert (number(0.123456), number(None), number(7)) == ("0.1235", "–", "7")
