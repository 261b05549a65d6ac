"""Whether head classes can be generated: the generator has learned them, the bank has sources."""

from pathlib import Path

from tgn.data.runs import Run
from tgn.models.feature_bank import FeatureBank
from tgn.runtime.checkpoints import read_metadata
from tgn.runtime.files import read_json

HEADER_ENTRY = "trained_classes"  # of a generator's file: all or tail


def generator_is_tail_only(file: Path, train_command: str) -> str:
    """Return why a generator cannot draw head classes, in words; "" if it can.

    Args:
        file: a generator's weights, or the record of a pretrained model.
        train_command: makes a generator of all classes.
    """
    trained = _trained_classes(file)
    if trained == "all":
        return ""
    known = (
        "knows tail classes only"
        if trained
        else "does not say whether it knows head classes (an older version wrote it)"
    )
    return f"{file} {known}; train one of all classes: {train_command}"


def bank_is_tail_only(run: Run, bank: FeatureBank) -> str:
    """Return why a feature bank has no sources of head classes, in words; "" if it has some."""
    if bool((bank.labels < run.split().num_head).any()):
        return ""
    return (
        f"the feature bank {run.kmdn} has no head classes (an older version wrote it); call tgn "
        f"distill again with the settings in {run.path / 'distill.yaml'}: it goes on from the end "
        "of its training and writes the bank anew"
    )


def _trained_classes(file: Path) -> str:
    """Return ``all``, ``tail``, or "" for a file of an older version, which does not say."""
    if file.suffix == ".json":
        record = read_json(file)  # without tuning, a pretrained model knows what its prompts say
        is_tuned = record["rank"] or record.get("vectors", 0)
        return str(record.get("classes", "tail")) if is_tuned else "all"
    return read_metadata(file).get(HEADER_ENTRY, "")
