"""The stages of ``classify detect``: train, evaluate, find, publish."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from classify.detection.average_precision import THRESHOLDS, Found, Rule, Truth, average_precision
from classify.detection.dense.network import ROTATED_NMS, UPRIGHT_NMS
from classify.detection.detectors import DetectorFacts, build_detector, compute_in, detect
from classify.detection.distill.base import Pair, Teaching
from classify.detection.distill.localization import DenseDistillation
from classify.detection.distill.mimic import mimicking
from classify.detection.patches import Window, merged
from classify.detection.scenes import Scenes, cut, digest_of
from classify.detection.settings import MIMICKING, DetectSettings
from classify.detection.train import DetectorTrainer, shown
from classify.detection.trunks import freeze_stages
from tgn.core.checkpoints import (
    load_state,
    load_strictly,
    load_weights,
    read_metadata,
    save_weights,
)
from tgn.core.devices import Device
from tgn.core.errors import UserError
from tgn.core.files import read_json, sha256_of, write_json, write_text
from tgn.core.loops import STATE, Job, run_steps
from tgn.core.progress import Progress
from tgn.core.seeds import seed_of

CHECKPOINT, METRICS, SETTINGS = "detector.safetensors", "metrics.json", "settings.yaml"
MADE_FROM = "made_from.json"
FORMAT = "classify-detect-1"
RULES: tuple[Rule, ...] = ("voc07", "voc12", "coco")
AT_ONCE = 8
WHOLE = Window(0, 0, 0, 0)


def train_detector(  # noqa: PLR0913
    parts: tuple[Scenes, Scenes],
    directory: Path,
    settings: DetectSettings,
    progress: Progress,
    resume: bool = True,
    teacher: Path | None = None,
) -> dict[str, Any]:
    """Train on the first part, test on the second, write the detector; return its measures.

    Args:
        parts: training and test.
        directory: gets the detector and its measures.
        settings: of the training.
        progress: audience.
        resume: whether to continue what was begun there.
        teacher: file of a trained detector, if the settings want one.

    Raises:
        UserError: for a teacher that is missing, not wanted, or of another kind; if what was begun
            there was made from other data or another teacher.
    """
    train, test = parts
    device = Device(settings)
    torch.manual_seed(seed_of(settings.seed, "detector init"))
    facts = DetectorFacts(
        settings.detector,
        settings.backbone,
        train.classes,
        settings.size,
        settings.weights is not None,
        settings.width,
        settings.box_loss,
        settings.patch,
        settings.overlap,
    )
    net: Any = device.place(build_detector(facts, settings.weights))
    freeze_stages(net.backbone, settings.backbone, settings.frozen_stages)
    compute_in(net, device.autocast)
    teaching = _teaching(net, facts, teacher, settings, device)
    training = cut(train, settings.patch, settings.overlap)
    trainer = DetectorTrainer(teaching, training, settings, device)
    made_from = {
        "facts": {**facts._asdict(), "classes": list(facts.classes)},
        "training data": digest_of(train),
        "teacher": sha256_of(teacher) if teacher else "",
    }
    if resume:
        _check_same(directory, made_from)
    directory.mkdir(parents=True, exist_ok=True)
    if device.is_main:  # before the first step: what is trained can be published at any time
        write_json(directory / MADE_FROM, made_from)
    run_steps(trainer, settings, Job(directory, device, progress, resume), title=directory.name)
    result: dict[str, Any] = {}
    if device.is_main:
        save_detector(directory / CHECKPOINT, net, facts)
        write_text(directory / SETTINGS, settings.explained() + "\n")
        result = evaluate_detector(net, facts, test, device, progress)
        write_json(directory / METRICS, result)
    device.wait()
    return result


def _check_same(directory: Path, made_from: dict[str, Any]) -> None:
    """Refuse to go on with other data or another teacher, as the loop does with other settings."""
    if not all((directory / name).is_file() for name in (STATE, MADE_FROM)):
        return
    before = read_json(directory / MADE_FROM)
    if changed := [name for name in made_from if before.get(name) != made_from[name]]:
        raise UserError(
            f"{directory / STATE} was made from others ({', '.join(changed)} differ); take those "
            "again, or another --name, or --no-resume to start anew"
        )


def _teaching(
    net: nn.Module,
    facts: DetectorFacts,
    teacher: Path | None,
    settings: DetectSettings,
    device: Device,
) -> Teaching:
    """Put student and teacher together, as the settings say."""
    if not settings.is_taught:
        if teacher is not None:
            raise UserError("a teacher was given, but distill=none; say how it teaches: --distill")
        return Teaching(net)
    if teacher is None:
        raise UserError(f"distill={settings.distill} wants a teacher: --teacher NAME or FILE")
    master, known = load_detector(teacher)
    if (known.detector, known.classes) != (facts.detector, facts.classes):
        raise UserError(
            f"{teacher} is a {known.detector} for {', '.join(known.classes)}; expected a "
            f"{facts.detector} for {', '.join(facts.classes)}"
        )
    compute_in(device.move(master.requires_grad_(False)), device.autocast)
    pair = Pair(net, master, settings.seed, device.autocast, device.average)
    if settings.distill in MIMICKING:
        return mimicking(pair, settings.distill, settings.mimic)
    return DenseDistillation(pair, settings)


def save_detector(path: Path, net: nn.Module, facts: DetectorFacts) -> None:
    """Write the weights, with all that is needed to build the network again."""
    _save(path, net.state_dict(), facts)


def _save(path: Path, weights: dict[str, Tensor], facts: DetectorFacts) -> None:
    save_weights(path, weights, {"format": FORMAT, "facts": json.dumps(facts._asdict())})


def load_detector(path: Path) -> tuple[nn.Module, DetectorFacts]:
    """Read a detector written by :func:`save_detector`; in eval.

    Raises:
        NotFoundError: if there is no such file.
        UserError: if it holds something else.
    """
    weights, told = load_weights(path), read_metadata(path)
    if told.get("format") != FORMAT:
        raise UserError(f"{path} is no detector of classify detect train")
    facts = _facts(json.loads(told["facts"]))
    net = build_detector(facts)
    load_strictly(net, weights, str(path))
    return net.eval(), facts


def _facts(told: dict[str, Any]) -> DetectorFacts:
    return DetectorFacts(**{**told, "classes": tuple(told["classes"])})


def publish(directory: Path, out: Path) -> int:
    """Write the student of a training's last checkpoint: no optimiser, no teacher.

    Args:
        directory: of the training, finished or not.
        out: a .safetensors file that every verb takes for a detector.

    Returns:
        How many steps it was trained.

    Raises:
        NotFoundError: if nothing was trained there.
        DamagedError: if the checkpoint is not whole.
    """
    state = load_state(directory / STATE)
    facts = _facts(read_json(directory / MADE_FROM)["facts"])
    _save(out, state["trainer"]["net"], facts)
    return int(state["step"])


def evaluate_detector(
    net: nn.Module, facts: DetectorFacts, data: Scenes, device: Device, progress: Progress
) -> dict[str, Any]:
    """Return average precision by all rules: means over classes, and of each class."""
    return judge(data, found_in(net, facts, data, device, progress))


def judge(data: Scenes, found: list[Found]) -> dict[str, Any]:
    """Return average precision of what was found in each scene."""
    truths = [Truth(one.boxes, one.labels, one.difficult, one.crowd) for one in data.scenes]
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


def found_in(
    net: nn.Module, facts: DetectorFacts, data: Scenes, device: Device, progress: Progress
) -> list[Found]:
    """Return what a detector finds in each scene, large images patch by patch."""
    patches = [
        (number, part)
        for number, scene in enumerate(data.scenes)
        for part in cut(Scenes(data.classes, (scene,)), facts.patch, facts.overlap).scenes
    ]
    progress.start("detect", len(patches))
    parts: list[list[tuple[Window, Found]]] = [[] for _ in data.scenes]
    for start in range(0, len(patches), AT_ONCE):
        some = patches[start : start + AT_ONCE]
        images = [shown(part).image_u8.to(device.torch_device).float() / 255 for _, part in some]
        for (number, part), found in zip(some, _detected(net, images), strict=True):
            parts[number].append((part.window or WHOLE, found))
        progress.advance(len(some))
    threshold = ROTATED_NMS if facts.is_rotated else UPRIGHT_NMS
    return [one[0][1] if len(one) == 1 else merged(one, threshold) for one in parts]


def _detected(net: nn.Module, images: list[Tensor]) -> list[Found]:
    """Detect in images of like size together: none may be padded for the sake of another."""
    found: dict[int, Found] = {}
    for shape in dict.fromkeys(image.shape for image in images):
        rows = [k for k, image in enumerate(images) if image.shape == shape]
        alike = detect(net.eval(), [images[k] for k in rows])
        found |= dict(zip(rows, alike, strict=True))
    return [found[k] for k in range(len(images))]


def _mean(table: np.ndarray[Any, Any]) -> float | None:
    known = table[~np.isnan(table)]
    return round(float(known.mean()), 6) if len(known) else None
