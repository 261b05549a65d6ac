"""The runs of worth.py: data sets, generators and comparisons; what is finished is not repeated."""

import argparse
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from common import SPLITS, run, set_words, shared_data
from vhr10 import chips

from classify.training.recipes import GENERATED, have_generated, recipe
from tgn.data.manifest import active_rows
from tgn.data.runs import find_run, runs_root
from tgn.data.splits.split_list import SplitList, read_split_list, write_split_list

DATA = ("aid-lt", "vhr10", "vhr10-thin", "built-in")
THIN = (60, 5)  # training chips of the first and of the last class of vhr10-thin


def split(data: str, name: str) -> None:
    """Make the run ``name`` of a data set, if it is not there."""
    if (runs_root() / name / "run.yaml").is_file():
        return
    if data == "aid-lt":
        words = [str(shared_data("aid64.zip")), "--from", str(SPLITS / "aid_lt_64.csv")]
    elif data == "built-in":
        scenes = runs_root() / "built-in-scenes"
        if not scenes.exists():
            run("tgn", "scenes", str(scenes), *set_words("size=64"))
        words = [str(scenes)]
    else:
        listed = SPLITS / "vhr10_chips.csv"
        if data == "vhr10-thin":
            thin = runs_root() / "vhr10_thin.csv"
            write_split_list(thin, thinned(read_split_list(listed)))
            listed = thin
        words = [str(chips("vhr10")), "--from", str(listed)]
    run("tgn", "split", *words, "--run", name)


def thinned(listed: SplitList) -> SplitList:
    """Return a list with fewer training images: from 60 to 5 a class, the first ones of each."""
    classes = listed.classes
    first, last = THIN
    ratio = (last / first) ** (1 / (len(classes) - 1))
    room = {folder: round(first * ratio**label) for label, folder in enumerate(classes)}
    kept = []
    for row in listed.rows:
        if row.part == "train":
            room[row.folder] -= 1
        if row.part != "train" or room[row.folder] >= 0:
            kept.append(row)
    return SplitList(listed.comments, listed.num_head, listed.hash_column, tuple(kept))


def all_generated(given: argparse.Namespace) -> list[Path]:
    """Return the folders of the images of all generators, as many at a time as there are jobs."""
    split(given.data, f"worth-{given.data}")  # it makes the data, which all of them need
    with ThreadPoolExecutor(given.jobs) as pool:
        return list(pool.map(lambda seed: generated(given, seed), range(given.generators)))


def generated(given: argparse.Namespace, seed: int) -> Path:
    """Return the folder of the images of one generator, made if they are not there."""
    name = f"worth-{given.data}-g{seed}"
    split(given.data, name)
    out = runs_root() / name / "generated"
    here = ("--run", name)
    if not (out / "manifest.jsonl").is_file():
        seeded = (*here, "--seed", str(seed))
        run("tgn", "distill", *seeded, *set_words(f"steps={given.distill_steps}"))
        run("tgn", "train", *seeded, *set_words(f"steps={given.generator_steps}"))
        drawn = ("--class", given.classes, "--noise", given.noise, "--n", str(given.n))
        run("tgn", "generate", *seeded, *drawn)
    if given.by_use and not (out / "filter.json").is_file():
        run("tgn", "filter", str(out), *here, "--by", "use")
    return out


def compare(given: argparse.Namespace, folder: Path, names: Sequence[str]) -> dict[str, Any]:
    """Return the comparison of recipes with the images of a folder.

    Where a filter has kept none of them, a recipe with images is the one without.
    """
    name = f"worth-{given.data}"
    split(given.data, name)
    used = names
    if not any(active_rows(folder, find_run(name).split())):
        used = [one for one in names if not have_generated([one])]
    is_trained = any(recipe(one).probe is None for one in used)
    words = set_words(f"steps={given.steps}", f"size={given.size}") if is_trained else []
    recipes = ("--recipes", ",".join(used), "--seeds", str(given.seeds))
    images = ("--augmented", str(folder)) if have_generated(used) else ()
    jobs = ("--jobs", str(given.jobs))
    run("classify", "compare", *recipes, "--run", name, *images, *jobs, *words)
    table: dict[str, Any] = json.loads(find_run(name).comparison_file.read_text(encoding="utf-8"))
    found = table["recipes"]
    table["recipes"] = {one: found.get(one, found[one.partition(GENERATED)[0]]) for one in names}
    return table
