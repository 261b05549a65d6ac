"""Verbs that make data and runs: scenes, chips, split."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from tgn.data.annotations.settings import ChipSettings
from tgn.data.prompts import numbers_for_names
from tgn.data.runs import runs_root
from tgn.data.split import Split
from tgn.data.splits.histogram import histogram_rows
from tgn.data.splits.settings import ListedSplitSettings, SplitSettings
from tgn.runtime.command_options import CommonOptions, settings_command, show_plan
from tgn.runtime.config import Settings
from tgn.runtime.console import TerminalProgress, err, out, show_left_out
from tgn.runtime.errors import DataError
from tgn.scenes.settings import ImagesSettings, ScenesSettings

app = typer.Typer()


def _scenes_settings(options: Mapping[str, Any]) -> type[Settings]:
    return ImagesSettings if options["boxes"] else ScenesSettings


@settings_command(app, "scenes", ScenesSettings, choose=_scenes_settings)
def scenes_verb(
    common: CommonOptions,
    out_dir: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write.")],
    modality: Annotated[
        str | None, typer.Option(help="eo (camera), sar (radar), or eo,sar: pairs of both.")
    ] = None,
    boxes: Annotated[
        str | None, typer.Option(help="rotated: large images with rotated boxes, for detectors.")
    ] = None,
) -> None:
    """Write the built-in data set: synthetic aerial images of twelve classes, long-tailed."""
    if boxes is not None:
        _write_images(common, out_dir, boxes)
        return
    from tgn.scenes.write import count_scenes, write_scenes

    settings = common.settings(ScenesSettings, modality=modality)
    counts = count_scenes(settings)
    if common.dry_run:
        show_plan(settings, f"{counts.total} chips into {out_dir}")
    with _counted("scenes", counts.total) as advance:
        write_scenes(out_dir, settings, advance)
    data = out_dir / "eo" if "," in settings.modality else out_dir
    out.print(f"wrote {counts.total} chips to {out_dir}; next: tgn split {data}")


def _write_images(common: CommonOptions, out_dir: Path, boxes: str) -> None:
    """Write the built-in detection data."""
    from tgn.scenes.write_images import write_images

    settings = common.settings(ImagesSettings, boxes=boxes)
    if common.dry_run:
        show_plan(settings, f"{settings.total} images with their boxes into {out_dir}")
    with _counted("scenes", settings.total) as advance:
        write_images(out_dir, settings, advance)
    parts = (out_dir / part for part in ("train", "test"))
    train, test = (f"{part / 'labelTxt'} {part / 'images'}" for part in parts)
    out.print(
        f"wrote {settings.total} images to {out_dir}; next: classify detect train {train} --test "
        f"{test} --set detector=rotated-retinanet"
    )


@contextmanager
def _counted(title: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show a progress bar; yield a function that takes how many of ``total`` are done."""
    progress = TerminalProgress()
    progress.start(title, total)
    shown = 0

    def advance(done: int) -> None:
        nonlocal shown
        progress.advance(done - shown)
        shown = done

    yield advance
    progress.stop()


@settings_command(app, "chips", ChipSettings)
def chips_verb(
    common: CommonOptions,
    annotation_path: Annotated[
        Path,
        typer.Argument(
            metavar="ANN", help="COCO .json, a folder of label files, or a list of images (VOC)."
        ),
    ],
    images: Annotated[Path, typer.Argument(help="Folder of the annotated images.")],
    out_dir: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write.")],
    part: Annotated[
        str | None, typer.Option(help="train, val or test: these images are that part of OUT.")
    ] = None,
) -> None:
    """Crop the objects of detection data (COCO, VOC, DOTA, YOLO) into an image folder."""
    from tgn.data.annotations.chips import cut_chips
    from tgn.data.annotations.readers import read_annotations

    settings = common.settings(ChipSettings, part=part)
    annotations = read_annotations(annotation_path, images)
    show_left_out(annotations.problems, common.dry_run, "--dry-run lists all")
    for note in annotations.notes:
        err.print(f"note: {note}", markup=False)
    if not annotations.objects:
        raise DataError(
            f"no labelled object of {annotation_path} has its image in {images}; see what was left "
            "out"
        )
    if common.dry_run:
        show_plan(settings, f"{len(annotations.objects)} objects into {out_dir}")
    counts = cut_chips(annotations, out_dir, settings, TerminalProgress())
    into = out_dir / settings.part if settings.part else out_dir
    others = "the other parts, then " if settings.part else ""
    out.print(f"wrote {sum(counts.values())} chips to {into}; next: {others}tgn split {out_dir}")


@app.command("pairs")
def pairs_verb(
    data: Annotated[
        Path,
        typer.Argument(help="Folder of tables such as train_EO.csv, train_SAR.csv, and images."),
    ],
    out_dir: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write.")],
) -> None:
    """Pair camera and radar images by tables (img_name, class_id): two trees of equal paths."""
    from tgn.data.sensor_pairs import read_pairs, write_pairs

    pairs = read_pairs(data)
    write_pairs(pairs, out_dir, TerminalProgress())
    counts = ", ".join(f"{part} {count}" for part, count in pairs.counts.items())
    eo, sar = (out_dir / sensor for sensor in ("eo", "sar"))
    out.print(
        f"wrote the pairs ({counts}) to {eo} and {sar}; next: tgn split {eo} --run eo; classify "
        f"train --run eo --method cross-modality --set bands=1 --set cross_modality.paired={sar}",
        markup=False,
    )


def _split_settings(options: Mapping[str, Any]) -> type[Settings]:
    return ListedSplitSettings if options["list_file"] else SplitSettings


@settings_command(app, "split", SplitSettings, choose=_split_settings)
def split_verb(
    common: CommonOptions,
    data: Annotated[Path, typer.Argument(help="Folder or .zip: class folders, or train/ + test/.")],
    run: Annotated[str, typer.Option("--run", help="Name of the new run.")] = "run",
    list_file: Annotated[
        Path | None,
        typer.Option("--from", metavar="FILE", help="Take the parts that a split.csv lists."),
    ] = None,
) -> None:
    """Make a run: class order, head and tail classes, training, validation and test parts."""
    from tgn.data.splits.make_split import plan_split, split_run

    settings: SplitSettings | ListedSplitSettings
    if list_file is not None:
        settings = common.settings(ListedSplitSettings, list_file=list_file)
    else:
        settings = common.settings(SplitSettings)
    if common.dry_run:
        _show_split(plan_split(data, settings, TerminalProgress()))
        show_plan(settings, f"run {run!r} in {runs_root()}")
    made, split = split_run(data, run, settings, TerminalProgress())
    _show_split(split)
    out.print(f"run {made.name!r} is in {made.path}; next: tgn distill")


def _show_split(split: Split) -> None:
    for line in histogram_rows(split):
        out.print(line, markup=False)
    for note in split.notes:
        err.print(f"note: {note}", markup=False)
    if warning := numbers_for_names(split.names):
        err.print(f"warning: {warning}", markup=False)
