"""The stages of ``classify detect``: train, evaluate, and draw what is there and what was found."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from classify.detection.average_precision import THRESHOLDS, Found, Rule, Truth, average_precision
from classify.detection.detectors import DetectorFacts, build_detector, detect
from classify.detection.scenes import Scenes
from classify.detection.settings import DetectSettings
from classify.detection.train import DetectorTrainer, shown
from tgn.core.checkpoints import load_strictly, load_weights, read_metadata, save_weights
from tgn.core.devices import Device
from tgn.core.errors import UserError
from tgn.core.files import write_json, write_text
from tgn.core.loops import Job, run_steps
from tgn.core.progress import Progress
from tgn.core.seeds import seed_of

CHECKPOINT, METRICS, SETTINGS = "detector.safetensors", "metrics.json", "settings.yaml"
FORMAT = "classify-detect-1"
RULES: tuple[Rule, ...] = ("voc07", "voc12", "coco")


def train_detector(
    parts: tuple[Scenes, Scenes],
    directory: Path,
    settings: DetectSettings,
    progress: Progress,
    resume: bool = True,
) -> dict[str, Any]:
    """Train on the first part, test on the second, write the detector; return its measures."""
    train, test = parts
    device = Device(settings)
    torch.manual_seed(seed_of(settings.seed, "detector init"))
    has_weights = settings.weights is not None
    facts = DetectorFacts(
        settings.detector, settings.backbone, train.classes, settings.size, has_weights
    )
    net = device.place(build_detector(facts, settings.weights))
    trainer = DetectorTrainer(net, train, settings, device)
    run_steps(trainer, settings, Job(directory, device, progress, resume), title=directory.name)
    result: dict[str, Any] = {}
    if device.is_main:
        result = evaluate_detector(net, test, device, progress)
        save_detector(directory / CHECKPOINT, net, facts)
        write_text(directory / SETTINGS, settings.explained() + "\n")
        write_json(directory / METRICS, result)
    device.wait()
    return result


def save_detector(path: Path, net: nn.Module, facts: DetectorFacts) -> None:
    """Write the weights, with all that is needed to build the network again."""
    save_weights(path, net.state_dict(), {"format": FORMAT, "facts": json.dumps(facts)})


def load_detector(path: Path) -> tuple[nn.Module, DetectorFacts]:
    """Read a detector written by :func:`save_detector`; in eval.

    Raises:
        NotFoundError: if there is no such file.
        UserError: if it holds something else.
    """
    weights, told = load_weights(path), read_metadata(path)
    if told.get("format") != FORMAT:
        raise UserError(f"{path} is no detector of classify detect train")
    facts = DetectorFacts(*json.loads(told["facts"]))
    facts = facts._replace(classes=tuple(facts.classes))
    net = build_detector(facts)
    load_strictly(net, weights, str(path))
    return net.eval(), facts


def evaluate_detector(
    net: nn.Module, data: Scenes, device: Device, progress: Progress
) -> dict[str, Any]:
    """Return average precision by all rules: means over classes, and of each class."""
    found = found_in(net, data, device, progress)
    truths = [Truth(scene.boxes, scene.labels, scene.difficult) for scene in data.scenes]
    result: dict[str, Any] = {"images": len(truths), "classes": list(data.classes)}
    for rule in RULES:
        table = average_precision(truths, found, len(data.classes), rule)
        each = [None if np.isnan(row).all() else round(float(row.mean()), 6) for row in table]
        result[rule] = {
            "ap": _mean(table),
            **{f"ap{round(100 * t)}": _mean(table[:, k]) for k, t in enumerate(THRESHOLDS)},
            "per_class": each,
        }
    return result


def found_in(net: nn.Module, data: Scenes, device: Device, progress: Progress) -> list[Found]:
    """Return what a detector finds in each scene."""
    progress.start("detect", len(data.scenes))
    found = []
    for scene in data.scenes:
        image = shown(scene).image_u8.to(device.torch_device).float() / 255
        found += detect(net.eval(), [image])
        progress.advance()
    return found


def _mean(table: np.ndarray[Any, Any]) -> float | None:
    known = table[~np.isnan(table)]
    return round(float(known.mean()), 6) if len(known) else None
