"""What a result was made from, as hashes in its file, and whether the run still has that.

Every file of results has an entry ``made_from``: a name of :data:`FACTS` -> SHA-256.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from tgn.data.manifest import ManifestRow, all_rows, fingerprint, folder_note
from tgn.data.runs import Run
from tgn.data.split import ALL, EVERY, Split
from tgn.runtime.checkpoints import sha256_of_whole
from tgn.runtime.errors import UserError
from tgn.runtime.files import read_json, sha256_of

MADE_FROM = "made_from"
SPLIT, IMAGES, TAIL_NET = "split", "images", "tail_net"
PARTS_OF_SPLIT = ("num_head", "train", "val", "test", "sample_range", "checksums")

UNVERIFIED = "Of an older version: what it was made from is not recorded"
OTHER = {
    SPLIT: "another split than there is now",
    IMAGES: "other images than there are now",
    TAIL_NET: "another tail net than there is now",
}
OTHER_GENERATOR = (
    "{count} of {total} images were made by another generator than there is now; replace them "
    "with: tgn generate --class {which} --no-resume"
)


def split_sha256(split: Split) -> str:
    """Return the hash of what a result depends on: class folders, parts and their checksums.

    Names of classes and the place of the data folder may change.
    """
    content = split.model_dump(mode="json", include=set(PARTS_OF_SPLIT))
    content["folders"] = [entry.folder for entry in split.classes]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _images_sha256(run: Run, folder: Path) -> str:
    """Return the hash of the images in use, "" if there are none that can be."""
    try:
        return fingerprint(folder, run.split())
    except UserError:
        return ""


def _tail_net_sha256(run: Run, _: Path) -> str:
    return sha256_of(run.tail_net) if run.tail_net.is_file() else ""


FACTS: dict[str, Callable[[Run, Path], str]] = {
    SPLIT: lambda run, _: split_sha256(run.split()),
    IMAGES: _images_sha256,
    TAIL_NET: _tail_net_sha256,
}


def made_from(run: Run, *facts: str, folder: Path | None = None) -> dict[str, str]:
    """Return what a result that is made now is made from.

    Args:
        run: of the result.
        facts: some names of :data:`FACTS`.
        folder: of the generated images; None is the run's own.
    """
    return {fact: FACTS[fact](run, folder or run.generated) for fact in facts}


def misfit(run: Run, recorded: Mapping[str, str], remedy: str, folder: Path | None = None) -> str:
    """Return why a result no longer fits the run, in a sentence; "" if it does.

    Args:
        run: of the result.
        recorded: what it was made from; a fact that an older version left out is not compared.
        remedy: the command that makes it anew.
        folder: of the generated images; None is the run's own.
    """
    today = made_from(run, *(recorded.keys() & FACTS.keys()), folder=folder)
    other = [text for fact, text in OTHER.items() if recorded.get(fact) != today.get(fact)]
    return f"Made from {' and '.join(other)}: run {remedy} again" if other else ""


def same_sources(recorded: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Return whether a training was made from what is wanted.

    Older versions did not record the split: theirs is taken for the one there is.
    """
    return {SPLIT: wanted[SPLIT], **recorded} == wanted


def generators(run: Run) -> dict[str, Path]:
    """Return SHA-256, as the manifest has it, of each generator of a run -> its file.

    Raises:
        UserError: naming a file that is not what was written.
    """
    weights = [file for file in (run.cdtg_generator, run.denoiser) if file.is_file()]
    known = {sha256_of_whole(file): file for file in weights}
    if run.pretrained_record.is_file():
        read_json(run.pretrained_record)
        known[sha256_of(run.pretrained_record)] = run.pretrained_record
    return known


def other_generator(run: Run, rows: Iterable[ManifestRow]) -> str:
    """Return how many images a generator made that the run no longer has, in words; "" if none.

    A damaged generator is said instead. Images of other programs, and runs without a generator, are
    not spoken of.
    """
    try:
        known = set(generators(run))
    except UserError as error:  # said, not refused: images are there without it
        return str(error)
    made = [row for row in rows if row.weights_sha256]
    other = [row for row in made if row.weights_sha256 not in known]
    if not known or not other:
        return ""
    which = EVERY if min(row.class_index for row in other) < run.split().num_head else ALL
    return OTHER_GENERATOR.format(count=len(other), total=len(made), which=which)


def notes_on_images(run: Run, folder: Path) -> list[str]:
    """Return what a user should know of a folder of generated images, a line each."""
    split = run.split()
    stale = other_generator(run, all_rows(folder, split)) if folder == run.generated else ""
    return [note for note in (folder_note(folder, split), stale) if note]
