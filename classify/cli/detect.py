"""The command ``classify detect``: detectors of axis-aligned and rotated boxes."""

import typer

from classify.cli import detect_export, detect_inference, detect_pictures, detect_training

app = typer.Typer(
    no_args_is_help=True,
    help="Train detectors on COCO, Pascal VOC, DOTA or YOLO labels, evaluate and use them.",
)
for part in (detect_training, detect_inference, detect_pictures, detect_export):
    app.add_typer(part.app)
