#!/usr/bin/env -S .venv/bin/python
"""CDTG against diffusion on one run, with equal minutes of training and equally many images.

    scripts/experiments/backends.py demo --minutes 15

The run must be split and distilled. A classifier that shares no image with it, if one is given,
says what share of the generated images it takes for their class; recipes with and without generated
images are compared over three seeds. FID, KID, variety and copies are those of tgn score.
"""

import argparse
import json
import shutil
import time
from pathlib import Path

from common import comparison_table, run, set_words, steps_for

from tgn.data.runs import runs_root
from tgn.runtime.markdown import markdown_table

RECIPES = "ce,ce+generated,balanced,balanced+generated"
COMPARED = ("cdtg", "diffusion")


def figures(folder: Path, seconds: float, images: int) -> dict[str, str]:
    """A row of the table, from the newest scores of the run."""
    files = [path for path in folder.glob("generated-*.json") if ".nearest" not in path.name]
    pooled = json.loads(max(files, key=lambda path: path.stat().st_mtime).read_text())["pooled"]
    fid, kid, agreement = pooled["fid"], pooled["kid"], pooled["agreement"]
    return {
        "FID": f"{fid['value']:.1f}" if fid else "-",
        "KID": f"{kid['value']:.4f} ± {kid['standard_error']:.4f}" if kid else "-",
        "diversity / real": f"{pooled['feature_diversity']['ratio']:.2f}",
        "agreement": f"{100 * agreement['value']:.1f}%" if agreement else "-",
        "copies": f"{100 * pooled['copies']['share']['value']:.1f}%",
        "seconds an image": f"{seconds / images:.3f}",
    }


def one(backend: str, given: argparse.Namespace) -> tuple[dict[str, str], str]:
    """Train, generate, score and compare with one backend; return figures and the table."""
    here = ["--run", given.run]
    root = runs_root() / given.run
    settings = given.cdtg_set if backend == "cdtg" else given.diffusion_set
    steps = steps_for(given.minutes, [*here, "--backend", backend], settings)
    words = set_words(*settings, f"steps={steps}")
    run("tgn", "train", *here, "--backend", backend, "--no-resume", *words)
    shutil.rmtree(root / "generated", ignore_errors=True)
    started = time.monotonic()
    noise = ["--noise", str(given.noise)]
    run("tgn", "generate", "--class", "all", *here, "--backend", backend, *noise)
    seconds = time.monotonic() - started
    images = sum(1 for _ in (root / "generated" / "manifest.jsonl").open())
    classifier = [f"classifier={given.classifier}"] if given.classifier else []
    run("tgn", "score", *here, *set_words(*classifier))
    row = {"steps": str(steps), **figures(root / "scores", seconds, images)}
    words = ["--recipes", RECIPES, "--seeds", str(given.seeds)]
    words += set_words(
        "arch=tiny", "size=32", f"steps={given.classifier_steps}", *given.classifier_set
    )
    run("classify", "compare", *here, *words)
    return row, comparison_table(given.run)


def main() -> None:
    """Print a table of the backends, and of the recipes with each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run")
    parser.add_argument("--minutes", type=float, default=15, help="of training each")
    parser.add_argument("--noise", type=float, default=0.4)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--classifier", help="checkpoint that knows no image of the run")
    parser.add_argument("--classifier-steps", type=int, default=330)
    parser.add_argument("--only", choices=COMPARED)
    for name in ("cdtg", "diffusion", "classifier"):
        parser.add_argument(f"--{name}-set", action="append", default=[], metavar="KEY=VALUE")
    given = parser.parse_args()
    found = {name: one(name, given) for name in COMPARED if given.only in (None, name)}
    columns = list(next(iter(found.values()))[0])
    rows = [[name, *(row[column] for column in columns)] for name, (row, _) in found.items()]
    print(markdown_table(["backend", *columns], rows))
    for name, (_, table) in found.items():
        print(f"\n{name}:\n\n{table}")


if __name__ == "__main__":
    main()
