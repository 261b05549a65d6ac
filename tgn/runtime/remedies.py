"""Which command makes a file of a run anew: how messages about damaged files end."""

from pathlib import Path

UNKNOWN = "put it back from a copy, or make it anew"
OF_FILES = (  # pattern of the path's end -> what to do; the first that fits
    ("split.json", "put it back from a copy, or make a run of its list: tgn split DATA --from "
     "split.csv --run OTHER"),
    ("kmdn/*", "make it anew with: tgn distill --no-resume"),
    ("cdtg/clip_tiny.safetensors", "delete it: tgn train makes it anew"),
    ("cdtg/imported.safetensors", "make it anew with: tgn import FILE"),
    ("cdtg/*", "make it anew with: tgn train --no-resume"),
    ("latents/*", "delete it: tgn train --backend diffusion makes it anew"),
    ("diffusion/*", "make it anew with: tgn train --backend diffusion --no-resume"),
    ("stable-diffusion/*", "make it anew with: tgn train --backend stable-diffusion --no-resume"),
    ("manifest.filtered.jsonl", "make it anew with: tgn filter"),
    ("filter.json", "make it anew with: tgn filter"),
    ("manifest.*", "make it anew with: tgn generate --class all --no-resume"),
    ("folds.json", "make it anew with: classify train --folds K --no-resume"),
    ("scores/*", "make it anew with: tgn score"),
    ("assess.json", "make it anew with: tgn assess"),
    ("compare.json", "make it anew with: classify compare"),
    ("compare/*/*", "delete its folder: classify compare makes it anew"),
    ("classifier.safetensors", "make it anew with: classify train --name NAME --no-resume"),
    ("metrics.json", "make it anew with the command that trained it, and --no-resume"),
    ("detector.safetensors", "make it anew with: classify detect train --name NAME --no-resume"),
)  # fmt: skip


def remedy_for(path: Path) -> str:
    """Return what to do about a file that is damaged, by its name and its folder's."""
    fitting = (remedy for pattern, remedy in OF_FILES if path.match(pattern))
    return next(fitting, UNKNOWN)
