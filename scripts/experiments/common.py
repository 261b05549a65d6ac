"""What the experiments share: the pipeline on one data set, with a budget of minutes."""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tgn.data.runs import runs_root

RECIPES = ",".join(
    name + suffix
    for name in ("ce", "balanced", "balanced-softmax")
    for suffix in ("", "+generated")
)
PROBE_STEPS = 20
SPLITS = Path(__file__).parent / "splits"


def arguments(description: str | None, name: str) -> argparse.Namespace:
    """Return what the command line of an experiment asks for."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=20, help="of generator training")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--distill-steps", type=int, default=200)
    parser.add_argument("--classifier-steps", type=int, default=1200)
    parser.add_argument("--noise", default="0.4")
    parser.add_argument("--seeds", default="3")
    parser.add_argument("--run", default=name)
    return parser.parse_args()


def shared_data(name: str) -> Path:
    """Return a file of the folder that ``TGN_SHARED`` names."""
    path = Path(os.environ.get("TGN_SHARED", "../shared")) / "data" / name
    if not path.is_file():
        sys.exit(f"error: no {path}; set TGN_SHARED to the folder that has data/{name}")
    return path


def run(*command: str) -> None:
    """Run one command of the toolkit, shown first; stop if it fails."""
    print("$", " ".join(command), flush=True)
    done = subprocess.run([sys.executable, "-m", *command], check=False)
    if done.returncode:
        sys.exit(done.returncode)


def set_words(*settings: str) -> list[str]:
    """Return ``--set a --set b`` for settings a, b."""
    return [word for setting in settings for word in ("--set", setting)]


def pipeline(given: argparse.Namespace, data: Path, split_list: Path) -> None:
    """Run every stage on ``data``, split as a list says, and print the comparison as Markdown."""
    name = given.run
    if not (runs_root() / name / "run.yaml").is_file():
        run("tgn", "split", str(data), "--run", name, "--from", str(split_list))
    here, size = ("--run", name), f"size={given.size}"
    run("tgn", "distill", *here, *set_words(size, f"steps={given.distill_steps}"))
    steps = steps_for(given.minutes, here, [size])
    run("tgn", "train", *here, "--no-resume", *set_words(size, f"steps={steps}"))
    run("tgn", "generate", "--class", "all", "--noise", given.noise, *here, "--no-resume")
    run("tgn", "score", *here)
    words = ("--recipes", RECIPES, "--seeds", given.seeds)
    run(
        "classify",
        "compare",
        *here,
        *words,
        *set_words(size, f"steps={given.classifier_steps}", "arch=tiny"),
    )
    run("tgn", "report", *here)
    print(comparison_table(name))


def steps_for(minutes: float, here: Sequence[str], settings: Sequence[str]) -> int:
    """Return how many steps of ``tgn train`` fit into ``minutes``, timed on a few here.

    Args:
        minutes: of training.
        here: words of the command that name run and backend.
        settings: of it, key=value.
    """
    took = []
    for steps in (1, 1, PROBE_STEPS):  # the first one also trains what is kept: CLIP, autoencoder
        started = time.monotonic()
        probe = set_words(*settings, f"steps={steps}", "grid_every=100000")
        run("tgn", "train", *here, "--no-resume", *probe)
        took.append(time.monotonic() - started)
    return max(round(60 * minutes * (PROBE_STEPS - 1) / (took[2] - took[1])), 50)


def comparison_table(run_name: str) -> str:
    """Return the table that ``classify compare`` wrote, in percent ± half of the 95% interval."""
    return (runs_root() / run_name / "compare.md").read_text(encoding="utf-8").rstrip()
