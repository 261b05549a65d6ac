"""What the page shows of the trainings: accuracies, curves, the last grid, alarms, settings."""

from typing import Any

from tgn.data.made_from import SPLIT, TAIL_NET, misfit
from tgn.data.runs import Run
from tgn.report.charts import training_curves
from tgn.report.embedded_images import newest_picture
from tgn.report.reading import RunReader
from tgn.report.result_files import DistillAccuracy, Record
from tgn.runtime.explanations import content_of
from tgn.runtime.html_pages import data_uri
from tgn.runtime.logs import ALARMS, GRIDS, METRICS, Log

VERBS = ("run", "distill", "train", "generate")
UNFINISHED = "Not trained to its end: {done} of {steps} steps, which the images may not be of"


def trainings(reader: RunReader) -> dict[str, Any]:
    """Return what there is of ``tgn distill`` and of the generator trained last."""
    run = reader.run
    records = {verb: found for verb in VERBS if (found := _record(reader, verb))}
    train = records.get("train")
    folder = run.path / (train.backend if train else "cdtg")
    logs = {one.name: reader.log("training", one / METRICS) for one in (run.kmdn, folder)}
    if train:
        _check_training(reader, train, logs[folder.name])
    alarms = reader.log("grid", folder / ALARMS).rows
    return {
        "records": records,
        "accuracy": _accuracy(reader),
        "curves": {stage: _curves(log) for stage, log in logs.items()},
        "grid": newest_picture(folder / GRIDS),
        "alarms": [row["text"] for row in alarms if isinstance(row.get("text"), str)],
    }


def _record(reader: RunReader, verb: str) -> Record | None:
    return reader.attempt("records", lambda: _read_record(reader.run, verb))


def _read_record(run: Run, verb: str) -> Record | None:
    found = run.recorded(verb)
    with content_of(run.path / f"{verb}.yaml"):
        return None if found is None else Record.model_validate(found)


def _accuracy(reader: RunReader) -> DistillAccuracy | None:
    again = "tgn distill --no-resume"
    found = reader.model("accuracy", reader.run.distill_accuracy, DistillAccuracy)
    if found is not None:
        reader.fits("accuracy", found.made_from, again)
    return found


def _check_training(reader: RunReader, train: Record, log: Log) -> None:
    """Say whether the training is of another split or tail net, or has not come to its end."""
    sources = {SPLIT: train.split, TAIL_NET: train.tail_net_sha256}
    known = {fact: sha256 for fact, sha256 in sources.items() if sha256}
    again = f"tgn train --backend {train.backend} --no-resume"
    reader.say("grid", misfit(reader.run, known, again))
    steps, done = train.settings.get("steps"), log.rows[-1]["step"] if log.rows else 0
    if log.exists and isinstance(steps, int) and done < steps:
        reader.say("grid", UNFINISHED.format(done=done, steps=steps))


def _curves(log: Log) -> str | None:
    rows = [{k: v for k, v in row.items() if not isinstance(v, str)} for row in log.rows]
    chart = training_curves(rows)
    return data_uri(chart) if chart else None
