"""The stage ``tgn assess``: from a run's images to one page, one JSON and a sentence of advice."""

import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tgn.assess.accuracy import (
    PLAIN,
    WEIGHTED,
    Scored,
    accuracy_of,
    best_recipe,
    class_groups,
    score_recipes,
    top_confusions,
)
from tgn.assess.advice import RULE, Evidence, sentence, verdict
from tgn.assess.doubts import doubtful_labels, outliers
from tgn.assess.duplicates import (
    Pair,
    exact_duplicates,
    known_test_images,
    near_duplicates,
    near_threshold,
)
from tgn.assess.extrapolation import ADVISED_FACTOR, Extrapolation, extrapolate
from tgn.assess.features import AssessedImages, read_images
from tgn.assess.generated import check_generated, judge_generated
from tgn.assess.learning_curve import measure_curves
from tgn.assess.page import write_page
from tgn.assess.refits import Refitter
from tgn.assess.settings import AssessSettings
from tgn.assess.zero_shot import zero_shot_accuracy
from tgn.data.made_from import IMAGES, MADE_FROM, SPLIT, made_from
from tgn.data.runs import Run
from tgn.data.split import Split
from tgn.runtime.errors import DataError
from tgn.runtime.files import require_writable, write_json
from tgn.runtime.progress import Progress

DIMENSIONS = 512  # principal components: accuracies change by less than their intervals
MAX_LISTED = 500  # pairs or images of a list in the JSON
NAMED_CLASSES = 3  # in the sentence


def assess_run(
    run: Run, settings: AssessSettings, progress: Progress, generated: Path | None = None
) -> dict[str, Any]:
    """Assess the images of a run; write ``assess.json`` and ``assess.html`` and return the first.

    Test images are counted, compared with training images and shown with their accuracy; the
    curves, the advice and the verdict on generated images rest on training images alone.

    Args:
        run: the run.
        settings: of the assessment.
        progress: shows how far the work is.
        generated: folder of generated images to judge; None: none.

    Raises:
        DataError: if a class has no training image, or there are too few images to say anything.
        NotFoundError: if there are no generated images in the folder.
        UserError: if weights are missing or do not fit.
    """
    start = time.monotonic()
    require_writable(run.path)
    split = run.split()
    check_counts(split)
    if generated is not None:
        check_generated(run, generated)
    zero_shot = zero_shot_accuracy(run, settings, progress)
    images = read_images(run, settings, progress)
    reduced = images.reduced(DIMENSIONS)
    fits = score_recipes(reduced, split.num_classes, settings.seed, progress)
    future, measured = _curves(reduced, split, settings, progress)
    result = {
        **_counted(split),
        **_duplicates(images),
        **_doubts(images, fits, split, settings),
        **_accuracies(images, fits, split),
        "learning_curve": {"measured": measured, **_future(future, split, settings)},
        "generated": None,
        "how": HOW,
        "networks": [{"name": one.name, "weights_sha256": one.sha256} for one in images.networks],
        "settings": settings.model_dump(mode="json"),
        MADE_FROM: made_from(run, SPLIT),
    }
    result["accuracy"] |= zero_shot
    result["advice"] = _advice(_evidence(result, future), settings)
    if generated is not None:
        result[MADE_FROM] |= made_from(run, IMAGES, folder=generated)
        use = judge_generated(run, generated, settings, progress)
        is_own = generated.resolve() == run.generated.resolve()
        result["generated"] = {"folder": str(generated), "is_of_run": is_own, **use.report()}
        result["advice"]["sentence"] += f" The images in {generated}: {use.answer}"
    result["seconds"] = round(time.monotonic() - start, 1)
    write_page(run, result)
    write_json(run.assessment_file, result)
    return result


def _curves(
    images: AssessedImages, split: Split, settings: AssessSettings, progress: Progress
) -> tuple[Extrapolation, dict[str, float]]:
    """Return what more images are predicted to bring, and the curve measured: share to accuracy."""
    train = images.train
    refitter = Refitter.of(train.features, train.labels, split.num_classes, train.groups)
    rare, seed = list(split.tail_classes), settings.seed
    observations, curve = measure_curves(refitter, rare, settings.repeats, seed, progress)
    future = extrapolate(observations, _counts(split), rare, seed)
    return future, {str(share): accuracy for share, accuracy in curve.items()}


def _advice(evidence: Evidence, settings: AssessSettings) -> dict[str, Any]:
    return {
        "verdict": verdict(evidence, settings),
        "sentence": sentence(evidence, settings),
        "rule": RULE,
        "evidence": asdict(evidence),
    }


def check_counts(split: Split) -> None:
    """Refuse a split too small for any statement.

    Raises:
        DataError: if no rare class has two training images, or no frequent class has four.
    """
    counts = _counts(split)
    if max(counts[k] for k in split.tail_classes) < 2 or max(counts) < 4:
        raise DataError(
            f"largest rare class: {max(counts[k] for k in split.tail_classes)} training images, "
            f"largest class: {max(counts)}; to assess a data set takes at least 2 and 4"
        )


def _counts(split: Split) -> list[int]:
    return [entry.train + entry.val for entry in split.classes]


def _counted(split: Split) -> dict[str, Any]:
    counts = _counts(split)
    return {
        "classes": [
            {
                "folder": entry.folder,
                "name": entry.name,
                "group": "head" if label < split.num_head else "tail",
                "train": counts[label],
                "test": entry.test,
            }
            for label, entry in enumerate(split.classes)
        ],
        "imbalance": max(counts) / max(min(counts), 1),
        "images": {"train": sum(counts), "test": len(split.test)},
    }


def _duplicates(images: AssessedImages) -> dict[str, Any]:
    exact = exact_duplicates(images)
    threshold = near_threshold(images.copy_distances)
    near = near_duplicates(images, threshold)
    return {
        "test_images_known": len(known_test_images([*exact, *near])),
        "exact_duplicates": _listed(exact),
        "near_duplicates": {**_listed(near), "threshold": threshold},
    }


def _listed(pairs: list[Pair]) -> dict[str, Any]:
    return {
        "pairs": len(pairs),
        "across_train_and_test": sum(pair.first_part != pair.second_part for pair in pairs),
        "test_images_known": len(known_test_images(pairs)),
        "with_two_labels": sum(not pair.same_label for pair in pairs),
        "listed": [pair._asdict() for pair in pairs[:MAX_LISTED]],
    }


def _doubts(
    images: AssessedImages, fits: Mapping[str, Scored], split: Split, settings: AssessSettings
) -> dict[str, Any]:
    probabilities: Tensor = torch.softmax(fits[WEIGHTED].left_out, dim=1)
    doubtful = doubtful_labels(images.train, probabilities, settings.neighbours)
    far = outliers(images.train)
    names = split.names

    def named(row: dict[str, Any]) -> dict[str, Any]:
        return {
            key: names[value] if key in ("label", "suggested") else value
            for key, value in row.items()
        }

    return {
        "doubtful_labels": {
            "images": len(doubtful),
            "share": len(doubtful) / len(images.train.labels),
            "listed": [named(one._asdict()) for one in doubtful[:MAX_LISTED]],
        },
        "outliers": {
            "images": len(far),
            "listed": [named(one._asdict()) for one in far[:MAX_LISTED]],
        },
    }


def _accuracies(images: AssessedImages, fits: Mapping[str, Scored], split: Split) -> dict[str, Any]:
    groups, labels = class_groups(split), images.train.labels
    judged = torch.bincount(labels)[labels] > 1  # no fit without it knows a class of one image
    table = {
        name: {
            "left_out": accuracy_of(fit.left_out[judged], labels[judged], groups),
            "test": accuracy_of(fit.test, images.test.labels, groups),
        }
        for name, fit in fits.items()
    }
    best = best_recipe(table)
    names = split.names
    confusions = [
        {**one, "label": names[one["label"]], "taken_for": names[one["taken_for"]]}
        for one in top_confusions(fits[best].left_out[judged], labels[judged])
    ]
    return {"accuracy": table, "best_recipe": best, "confusions": confusions}


def _future(future: Extrapolation, split: Split, settings: AssessSettings) -> dict[str, Any]:
    return {
        "today": future.today,
        "more_images": {str(gain.factor): gain._asdict() for gain in future.gains},
        "per_class": [
            {
                "name": split.names[label],
                "group": "head" if label < split.num_head else "tail",
                **one._asdict(),
                "can_gain": one.gain >= settings.worthwhile,
            }
            for label, one in future.per_class.items()
        ],
        "model": future.model,
    }


def _evidence(result: Mapping[str, Any], future: Extrapolation) -> Evidence:
    gain = next(one for one in future.gains if one.factor == ADVISED_FACTOR)
    table = result["accuracy"]
    tails = [table[name]["left_out"]["tail"]["accuracy"] for name in (WEIGHTED, PLAIN)]
    able = [
        one
        for one in result["learning_curve"]["per_class"]
        if one["can_gain"] and one["group"] == "tail"
    ]
    able.sort(key=lambda one: -one["gain"])
    return Evidence(
        doubtful_share=result["doubtful_labels"]["share"],
        gain=gain.gain,
        low=gain.low,
        high=gain.high,
        balance_gain=tails[0] - tails[1],
        can_gain=tuple(one["name"] for one in able[:NAMED_CLASSES]),
        leaks=result["test_images_known"],
    )


HOW = {
    "generated": "what the images of each class, and of all together, change at real training "
    "images, each left out of fits with and without them; images made of the left-out ones do not "
    "take part (tgn filter --by use)",
    "features": "mean over symmetries of frozen, pretrained features, centred and of unit length",
    "left_out": "training images, each scored by a fit without its fold of ten",
    "test": "test images; nothing was chosen by them and the advice does not use them",
    "intervals": "95%: binomial over images; of predicted gains: resampled classes and images",
    "near_duplicates": "closer than 95% of copies shrunk to 3/4 and enlarged again are to their "
    "originals, and than half of the distance of either to its fifth nearest image",
    "doubtful_labels": "another class, of two images or more, is confidently more probable than "
    "the label by a fit without the image (confident learning), and has more of the votes of its "
    "nearest images, each weighted by the inverse square root of its class's size",
    "outliers": "distance to the nearest image of its class 4 robust deviations above the usual",
    "learning_curve": "ridge refitted to rare classes thinned to 25, 50, 75%, or less a fold of "
    "ten, and to frequent classes thinned to rare counts; a saturating curve in the logit of "
    "accuracy, fitted to both; the measured points are of the rare classes that have images left "
    "out at every one of them",
}
