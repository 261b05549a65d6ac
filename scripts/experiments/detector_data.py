"""Data of the experiment with detectors: drawn images, or VHR-10 and backbones for it."""

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from common import run, set_words, shared_data

from classify.detection.data.dataset import make_dataset, split_dataset
from tgn.data.annotations.readers import read_annotations
from tgn.data.runs import runs_root

PARTS, TEST_SHARE = ("train", "test"), 0.2
AID_STEPS, CHIP_STEPS = {"resnet18": 450, "resnet34": 300}, 200


@dataclass(frozen=True)
class Data:
    """Words of ``classify detect train`` that name the data; files for the backbones, if any."""

    words: tuple[str, ...]
    weights: Mapping[str, str] = field(default_factory=dict)


def drawn() -> Data:
    """Draw the training and the test part."""
    folder = runs_root() / "detectors-rotated-data"
    run("tgn", "scenes", str(folder), "--boxes", "rotated")
    train, test = ((f"{folder}/{part}/labelTxt", f"{folder}/{part}/images") for part in PARTS)
    return Data((*train, "--test", *test))


def vhr10() -> Data:
    """Unpack the images, split the labels, and train a backbone of each kind on pictures."""
    words = vhr10_parts()
    return Data(words, backbones(Path(words[0]), words[1]))


def vhr10_parts() -> tuple[str, ...]:
    """Unpack the images and split the labels; return words that name both parts."""
    folder = runs_root() / "detectors-vhr10-data"
    if not folder.exists():
        with zipfile.ZipFile(shared_data("vhr10.zip")) as archive:
            archive.extractall(folder)
    images, labels = str(folder / "images"), folder / "annotations.json"
    data = make_dataset(read_annotations(labels, Path(images)), rotated=False)
    files = [folder / f"{part}.json" for part in PARTS]
    content = json.loads(labels.read_text())
    for file, part in zip(files, split_dataset(data, TEST_SHARE, seed=0), strict=True):
        names = {image.path.name for image in part.images}
        kept = [image for image in content["images"] if image["file_name"] in names]
        ids = {image["id"] for image in kept}
        boxes = [box for box in content["annotations"] if box["image_id"] in ids]
        file.write_text(json.dumps({**content, "images": kept, "annotations": boxes}))
    return str(files[0]), images, "--test", str(files[1]), images


def backbones(labels: Path, images: str) -> dict[str, str]:
    """Train classifiers on AID's scenes, then on chips of the detector's training part."""
    chips = runs_root() / "detectors-chips-data"
    if not chips.exists():
        run("tgn", "chips", str(labels), images, str(chips), *set_words("margin=0.3"))
    return {arch: backbone(arch, chips) for arch in AID_STEPS}


def backbone(arch: str, chips: Path) -> str:
    """Train one classifier on both, unless it is there; return its file."""
    first = classifier("detectors-aid", shared_data("aid64.zip"), arch, AID_STEPS[arch])
    more = ("sampling=square-root", f"weights={first}")
    return classifier("detectors-chips", chips, arch, CHIP_STEPS, *more)


def classifier(name: str, data: Path, arch: str, steps: int, *more: str) -> str:
    """Train a classifier in a run of this name; return its file."""
    if not (runs_root() / name / "run.yaml").is_file():
        run("tgn", "split", str(data), "--run", name)
    file = runs_root() / name / "classify" / arch / "classifier.safetensors"
    if not file.is_file():
        settings = set_words(f"arch={arch}", "size=96", f"steps={steps}", *more)
        run("classify", "train", "--run", name, "--name", arch, *settings)
    return str(file)
