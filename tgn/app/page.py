"""The page itself, of Gradio: what is shown and what follows a click."""

import os
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from tgn.app.drawing import draw
from tgn.app.lookalikes import Lookalikes, Trio
from tgn.app.review import Review
from tgn.backends import trained_backend
from tgn.data.image_grid import enlarged
from tgn.data.runs import Run
from tgn.generation.generate import Studio
from tgn.generation.settings import GenerateSettings
from tgn.runtime.errors import NotFoundError, UserError

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # nobody is told what is drawn here
try:
    import gradio as gr
except ImportError:
    raise UserError("tgn app needs gradio; install it with: pip install 'tgn[app]'") from None

LIVE = 8  # images drawn at once
CELL, GAP = 128, 4  # pixels
DROPPED = (200, 30, 30)
ORDER = "left: drawn; right: its source over its nearest training image"


def serve(run: Run, host: str, port: int | None, device: str) -> None:
    """Show the page of a run until Ctrl-C.

    Raises:
        NotFoundError: if the run has no trained generator.
        UserError: if the port is taken.
    """
    page = build_page(run, device)
    try:
        page.launch(server_name=host, server_port=port, share=False, show_error=True)
    except OSError as error:
        raise UserError(f"{host}:{port} cannot be used ({error}); try another --port") from None


def build_page(run: Run, device: str) -> gr.Blocks:
    """Build the page of a run, not yet shown.

    Raises:
        NotFoundError: if the run has no trained generator.
    """
    drawer = trained_backend(run)
    settings = drawer.draw_settings.resolve(device=device, block=LIVE)
    studio = drawer.open_studio(run, settings)
    lookalikes = Lookalikes(run, studio.size, studio.device)
    with gr.Blocks(title=f"tgn: {run.name}", analytics_enabled=False) as page:
        gr.Markdown(f"# {run.name}")
        with gr.Tab("Draw"):
            _drawing_tab(studio, lookalikes, settings, page)
        with gr.Tab("Look through"):
            try:
                review = Review(run.path / "generated", run.split(), lookalikes)
            except NotFoundError as error:
                gr.Markdown(str(error))
            else:
                _review_tab(review, page)
    return page


def _drawing_tab(
    studio: Studio, lookalikes: Lookalikes, settings: GenerateSettings, page: gr.Blocks
) -> None:
    folders = [studio.split.classes[label].folder for label in studio.split.tail_classes]
    with gr.Row():
        folder = gr.Dropdown(folders, value=folders[0], label="class", elem_id="draw-class")
        noise = gr.Slider(0, 1, settings.noise, step=0.05, label="noise r", elem_id="draw-noise")
        seed = gr.Number(settings.seed, precision=0, label="seed", elem_id="draw-seed")
    shown = gr.Gallery(label=ORDER, columns=4, height=700, object_fit="contain", elem_id="drawn")

    def redraw(folder: str, noise: float, seed: int) -> list[Any]:
        wanted = settings.model_copy(update={"noise": float(noise), "seed": int(seed or 0)})
        return [(tile(trio), _beside(trio)) for trio in draw(studio, lookalikes, folder, wanted)]

    given: list[Any] = [folder, noise, seed]
    moved = [folder.change, noise.change, seed.change, page.load]
    # While the slider moves only its last place is worth drawing.
    gr.on(moved, redraw, given, shown, trigger_mode="always_last", show_progress="hidden")


def _review_tab(review: Review, page: gr.Blocks) -> None:
    folders = review.folders()
    dropped = gr.State(set())
    with gr.Row():
        folder = gr.Dropdown(folders, value=folders[0], label="class", elem_id="review-class")
        number = gr.Slider(
            1, max(review.pages(folders[0]), 2), 1, step=1, label="page", elem_id="review-page"
        )
    gr.Markdown("Click an image to drop it, once more to keep it. Nothing is deleted.")
    shown = gr.Gallery(
        label=ORDER,
        columns=4,
        height=900,
        object_fit="contain",
        allow_preview=False,
        elem_id="reviewed",
    )
    state = gr.Markdown(elem_id="review-state")
    look = partial(_look, review)
    gr.on([page.load], review.dropped, None, dropped).then(
        look, [folder, number, dropped], [shown, state]
    )
    folder.change(partial(_first_page, review), folder, number).then(
        look, [folder, number, dropped], [shown, state]
    )
    number.change(look, [folder, number, dropped], [shown, state], trigger_mode="always_last")
    shown.select(_toggler(review), [folder, number, dropped], dropped).then(
        look, [folder, number, dropped], [shown, state]
    )


def _first_page(review: Review, folder: str) -> Any:
    return gr.Slider(1, max(review.pages(folder), 2), 1, step=1)


def _look(
    review: Review, folder: str, number: int, dropped: Collection[str]
) -> tuple[list[Any], str]:
    """Return the pictures of a page with their captions, and how many images count."""
    pictures = [
        (tile(trio, row.file in dropped), f"{Path(row.file).name}: {_beside(trio)}")
        for row, trio in review.page(folder, int(number))
    ]
    total = len(review.rows)
    return pictures, f"{total - len(dropped)} of {total} images count"


def _toggler(review: Review) -> Callable[..., set[str]]:
    def toggle(
        folder: str, number: int, dropped: Collection[str], clicked: gr.SelectData
    ) -> set[str]:
        file = review.page(folder, int(number))[clicked.index][0].file
        changed = set(dropped) ^ {file}
        try:
            review.set_dropped(changed)
        except UserError as error:
            raise gr.Error(str(error)) from None
        return changed

    return toggle


def tile(trio: Trio, dropped: bool = False) -> Image.Image:
    """Draw the image large, beside it its source over its nearest; a dropped one crossed out."""
    scale = max(1, round(CELL / trio.drawn.shape[-1]))
    cell = trio.drawn.shape[-1] * scale
    canvas = Image.new("RGB", (3 * cell + GAP, 2 * cell + GAP), (255, 255, 255))
    canvas.paste(enlarged(trio.drawn, 2 * scale), (0, 0))
    for place, image_u8 in enumerate((trio.source, trio.nearest)):
        if image_u8 is not None:
            canvas.paste(enlarged(image_u8, scale), (2 * cell + GAP, place * (cell + GAP)))
    if dropped:
        ink = ImageDraw.Draw(canvas)
        ink.line((0, 0, 2 * cell, 2 * cell), DROPPED, 6)
        ink.line((0, 2 * cell, 2 * cell, 0), DROPPED, 6)
    return canvas


def _beside(trio: Trio) -> str:
    return f"nearest at {trio.distance:.2f}"
