"""A run with a small file of every kind that the report reads."""

import torch
from tests_support import write_generated

from tgn.data.image_grid import save_grid
from tgn.data.split import ClassEntry, read_split, write_split
from tgn.models.backbones import build_backbone, save_classifier
from tgn.models.settings import BackboneSettings
from tgn.runtime.files import write_json, write_text
from tgn.runtime.progress import Silent
from tgn.scoring.filter import filter_run
from tgn.scoring.score import score_run
from tgn.scoring.settings import FilterSettings, ScoreSettings

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
    write_json(run.assessment_file, {"advice": {"sentence": f"Collect: {HOSTILE}."}})
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
        "verdict": {"sentence": f"Use {HOSTILE}."},
        "per_class": {
            name: [{"name": HOSTILE, "train": 3, "accuracy": share} for share in (0.5, None)]
            for name in ("ce", "ce+generated")
        },
    }
    write_json(run.path / "compare.json", table)
    confusion = run.path / "classify" / "compare" / "ce-seed0" / "confusion.png"
    save_grid(confusion, [picture], ["a"], ["b", "c"])


def score_and_filter(run) -> None:
    """Let the real stages write their files, with an untrained net."""
    folders = tuple(entry.folder for entry in run.split().classes)
    net = build_backbone(BackboneSettings(size=16), folders)
    save_classifier(run.path / "kmdn" / "tail.safetensors", net)
    off = {"copy_percentile": 0, "duplicate_percentile": 0, "min_probability": 0}
    filter_run(run, FilterSettings(device="cpu", extractor="tail", **off), None, Silent())
    score_run(run, ScoreSettings(device="cpu", extractor="tail"), None, Silent())
