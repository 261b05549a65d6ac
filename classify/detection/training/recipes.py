"""Published trainings of detectors by name: all settings, paths of data alone missing.

Sources: VOC: feature mimicking (Wang et al. 2021, arXiv 2011.01424, and its released code); COCO:
localization distillation (Zheng et al. 2022, arXiv 2102.12252); DOTA: rotated localization
distillation (Zheng et al. 2023, arXiv 2204.05957, and its released configurations).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from classify.detection.settings.detector import DetectSettings
from tgn.runtime.errors import UserError


@dataclass(frozen=True)
class DetectionRecipe:
    """One published training."""

    settings: Mapping[str, Any]
    data: str
    teacher: str | None = None  # name of the recipe that trains the teacher
    notes: tuple[str, ...] = ()  # where ours departs, or where the source says nothing


_VOC: Mapping[str, Any] = {
    "backbone_weights": "pretrained",
    "backbone_norm": "frozen",
    "fpn_channels": 256,
    "epochs": 24,
    "batch_size": 8,
    "optimizer": "sgd",
    "weight_decay": 1e-4,
    "lr_schedule": "milestones",
    "milestones": (18, 22),
    "warmup_steps": 1000,
    "warmup_factor": 0.001,
    "max_grad_norm": None,
    "short_sides": tuple(range(480, 801, 32)),
    "test_short_side": 800,
    "size": 1333,
    "flips": "horizontal",
}
_VOC_DATA = "VOC2007 trainval and VOC2012 trainval (16,551 images); test: VOC2007 test (4,952)"
_VOC_NOTES = (
    "frozen_stages and the warm-up's first factor are not stated: torchvision's usual ones here",
    "the published length of epochs is over 4 GPUs of 2 images each: 8 images a step",
)
_VOC_DETECTORS: Mapping[str, Mapping[str, Any]] = {
    "faster-rcnn": {"detector": "faster-rcnn", "lr": 0.01},
    "retinanet": {"detector": "retinanet", "lr": 0.005, "head_norm": "none"},
}
_VOC_PAIRS = {"r50": "r101", "vgg11": "vgg16"}  # student: teacher
_BACKBONES: Mapping[str, Mapping[str, Any]] = {
    "r18": {"backbone": "resnet18", "frozen_stages": 1},
    "r34": {"backbone": "resnet34", "frozen_stages": 1},
    "r50": {"backbone": "resnet50", "frozen_stages": 1},
    "r101": {"backbone": "resnet101", "frozen_stages": 1},
    "vgg11": {"backbone": "vgg11"},
    "vgg16": {"backbone": "vgg16"},
}
_DOTA: Mapping[str, Any] = {
    "detector": "rotated-retinanet",
    "backbone_weights": "pretrained",
    "backbone_norm": "statistics",
    "head_norm": "none",
    "fpn_channels": 256,
    "tile_size": 1024,
    "tile_overlap": 200 / 1024,
    "epochs": 12,
    "milestones": (8, 11),
    "lr_schedule": "milestones",
    "lr": 0.0025,
    "batch_size": 2,
    "optimizer": "sgd",
    "weight_decay": 1e-4,
    "warmup_steps": 500,
    "warmup_factor": 1 / 3,
    "max_grad_norm": 35.0,
    "flips": "both",
}
_DOTA_DATA = "DOTA-v1.0 train; test: val (458 whole images), judged by VOC's 11 recalls"
_DOTA_NOTES = (
    "bins of the angle: [-2, 2] and the long edge's convention here, [-5, 2] and OpenCV's there",
    "trained on two GPUs there; its authors report a higher AP on one",
)
_DOTA_LOSSES = {"rotated-retinanet": "smooth-l1", "gwd": "gwd"}
_COCO: Mapping[str, Any] = {
    "detector": "gfl",
    "backbone_weights": "pretrained",
    "backbone_norm": "statistics",
    "fpn_channels": 256,
    "epochs": 12,
    "milestones": (8, 11),
    "lr_schedule": "milestones",
    "lr": 0.01,
    "batch_size": 16,
    "optimizer": "sgd",
    "weight_decay": 1e-4,
    "warmup_steps": 500,
    "warmup_factor": 0.001,
    "max_grad_norm": None,
    "short_sides": (800,),
    "test_short_side": 800,
    "size": 1333,
    "flips": "horizontal",
}
_COCO_TEACHER = {
    "epochs": 24,
    "milestones": (16, 22),
    "short_sides": tuple(range(480, 801, 32)),
}
_COCO_DATA = "COCO 2017 train; test: val"


def _mimicking(detector: str, student: str, kind: str) -> Mapping[str, Any]:
    weight = 7.0
    if (detector, student) == ("retinanet", "vgg11"):
        weight = {"lsh": 6.0, "lshl2": 8.0}.get(kind, weight)
    return {"distill": kind, "mimic": {"weight": weight, "num_hashes": 4096}}


def _voc() -> Iterator[tuple[str, DetectionRecipe]]:
    for detector, own in _VOC_DETECTORS.items():
        for student, teacher in _VOC_PAIRS.items():
            for net in (teacher, student):
                settings = {**_VOC, **own, **_BACKBONES[net]}
                name = f"voc-{detector}-{net}"
                yield name, DetectionRecipe(settings, _VOC_DATA, notes=_VOC_NOTES)
            for kind in ("l2", "lsh", "lshl2"):
                taught = {**settings, **_mimicking(detector, student, kind)}
                teacher_name = f"voc-{detector}-{teacher}"
                yield f"{name}-{kind}", DetectionRecipe(taught, _VOC_DATA, teacher_name, _VOC_NOTES)


def _dota() -> Iterator[tuple[str, DetectionRecipe]]:
    for name, loss in _DOTA_LOSSES.items():
        own = {**_DOTA, "box_loss": loss}
        teacher = {**own, **_BACKBONES["r34"], "epochs": 24, "milestones": (16, 22)}
        student = {**own, **_BACKBONES["r18"]}
        taught = {
            **student,
            "distill": "ld+kd",
            "localization": {
                "ld_weight": 10.0,
                "kd_weight": 20.0,
                "ld_temperature": 5.0,
                "kd_temperature": 5.0,
            },
        }
        yield f"dota-{name}-r34", DetectionRecipe(teacher, _DOTA_DATA, notes=_DOTA_NOTES)
        yield f"dota-{name}-r18", DetectionRecipe(student, _DOTA_DATA, notes=_DOTA_NOTES)
        yield (
            f"dota-{name}-r18-ld+kd",
            DetectionRecipe(taught, _DOTA_DATA, f"dota-{name}-r34", _DOTA_NOTES),
        )


def _coco() -> Iterator[tuple[str, DetectionRecipe]]:
    teacher = {**_COCO, **_BACKBONES["r101"], **_COCO_TEACHER}
    note = "the teacher is a released one, trained twice as long with sides of 480 to 800 px"
    yield "coco-gfl-r101", DetectionRecipe(teacher, _COCO_DATA, notes=(note,))
    for student in ("r18", "r34", "r50"):
        settings = {**_COCO, **_BACKBONES[student]}
        yield f"coco-gfl-{student}", DetectionRecipe(settings, _COCO_DATA)
        taught: dict[str, Any] = {**settings, "distill": "ld+kd"}
        yield f"coco-gfl-{student}-ld+kd", DetectionRecipe(taught, _COCO_DATA, "coco-gfl-r101")
        if student == "r50":  # the configurations of the smaller ones give imitation no weight
            imitating = {**taught, "imitation": {"region": "gibox", "weight": 2.0}}
            yield (
                f"coco-gfl-{student}-ld+kd-gibox",
                DetectionRecipe(imitating, _COCO_DATA, "coco-gfl-r101"),
            )


RECIPES: Mapping[str, DetectionRecipe] = dict((*_voc(), *_dota(), *_coco()))


def find_recipe(name: str) -> DetectionRecipe:
    """Return a recipe by name.

    Raises:
        UserError: for an unknown one, with all names.
    """
    if name not in RECIPES:
        raise UserError(f"--recipe got {name!r}; valid: {', '.join(RECIPES)}")
    return RECIPES[name]


def with_recipe(given: Mapping[str, Any], name: str) -> DetectSettings:
    """Return the settings of a recipe; what was given stays.

    Args:
        given: settings that were given a value, not yet validated.
        name: of the recipe.

    Raises:
        UserError: for an unknown recipe, or settings that do not go with it.
    """
    return DetectSettings.joined(find_recipe(name).settings, given)


def compared_rows(name: str, settings: DetectSettings) -> list[tuple[str, str, str]]:
    """Return what is published and what would be done, setting by setting.

    Args:
        name: of the recipe.
        settings: those of a training by this recipe, with what was given.

    Returns:
        Setting, published value, value here.
    """
    published = DetectSettings.joined(find_recipe(name).settings)
    rows = []
    for key in find_recipe(name).settings:
        own, theirs = getattr(settings, key), getattr(published, key)
        rows.append((key, _shown(theirs), _shown(own)))
    return rows


def _shown(value: Any) -> str:
    if value is None or value == ():
        return "none"
    if isinstance(value, tuple):
        return f"{value[0]} to {value[-1]}" if len(value) > 4 else ", ".join(map(str, value))
    if hasattr(value, "model_dump"):
        return ", ".join(f"{k}={v}" for k, v in value.model_dump(exclude_unset=True).items())
    return f"{value:.4g}" if isinstance(value, float) else str(value)
