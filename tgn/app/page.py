"""The page, built with Gradio: its tabs and what follows a click."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from tgn.app.live_sampling import sample_live
from tgn.app.real_images import ComparedImage, RealImages
from tgn.app.review import Choice, Review
from tgn.backends import trained_backend
from tgn.data.image_grid import enlarged
from tgn.data.runs import Run
from tgn.generation.generate import ImageSampler
from tgn.generation.settings import GenerateSettings
from tgn.runtime.errors import NotFoundError, UserError
from tgn.runtime.progress import Progress

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # no usage data leaves this machine
try:
    import gradio as gr
    from starlette.middleware import Middleware

    from tgn.app.gate import Gate
except ImportError:
    raise UserError("tgn app needs gradio; install it with: pip install 'tgn[app]'") from None

LIVE_IMAGES = 8  # generated at once
CELL, GAP = 128, 4  # pixels
DROPPED_COLOUR = (200, 30, 30)
CAPTION = "left: generated; right: its source above, its nearest training image below"


def launch(page: gr.Blocks, host: str, port: int | None) -> None:
    """Serve a page from now on.

    Raises:
        UserError: if the address or the port cannot be used.
    """
    try:
        page.launch(
            server_name=host,
            server_port=port,
            share=False,
            show_error=True,
            ssr_mode=False,
            prevent_thread_lock=True,
            app_kwargs={"middleware": [Middleware(Gate, host=host)]},
        )
    except OSError as error:
        where = host if port is None else f"{host}:{port}"
        raise UserError(f"{where} cannot be used ({error}); try another --port") from None


def build_page(run: Run, device: str, progress: Progress) -> gr.Blocks:
    """Build the page of a run without serving it.

    Raises:
        NotFoundError: if the run has no trained generator.
    """
    backend = trained_backend(run)
    settings = backend.sample_settings.resolve(device=device, block=LIVE_IMAGES)
    sampler = backend.open_sampler(run, settings)
    real_images = RealImages(run, sampler.size, sampler.device, progress)
    with gr.Blocks(title=f"tgn: {run.name}", analytics_enabled=False) as page:
        gr.Markdown(f"# {run.name}\n\n{real_images.judge}", elem_id="title")
        with gr.Tab("Generate"):
            split = sampler.split
            head = () if backend.why_tail_only(run, sampler) else split.head_classes
            folders = [split.classes[label].folder for label in (*split.tail_classes, *head)]
            _generate_tab(sampler, real_images, settings, folders, page)
        with gr.Tab("Review"):
            review = Review(run.generated, run.split(), real_images)
            try:
                folders = review.folders()
            except NotFoundError as error:
                gr.Markdown(str(error))
            else:
                _review_tab(review, folders, page)
    return page


def _generate_tab(
    sampler: ImageSampler,
    real_images: RealImages,
    settings: GenerateSettings,
    folders: list[str],
    page: gr.Blocks,
) -> None:
    with gr.Row():
        folder = gr.Dropdown(folders, value=folders[0], label="class", elem_id="generate-class")
        noise = gr.Slider(
            0, 1, settings.noise, step=0.05, label="noise r", elem_id="generate-noise"
        )
        seed = gr.Number(settings.seed, precision=0, label="seed", elem_id="generate-seed")
    gallery = gr.Gallery(
        label=CAPTION, columns=4, height=700, object_fit="contain", elem_id="generated"
    )

    def update(folder: str, noise: float, seed: int) -> list[Any]:
        chosen = settings.model_copy(update={"noise": float(noise), "seed": int(seed or 0)})
        images = sample_live(sampler, real_images, folder, chosen)
        return [(tile(image), _caption(image)) for image in images]

    inputs: list[Any] = [folder, noise, seed]
    triggers = [folder.change, noise.change, seed.change, page.load]
    # While the slider moves, only its last position is sampled.
    gr.on(triggers, update, inputs, gallery, trigger_mode="always_last", show_progress="hidden")


def _review_tab(review: Review, folders: list[str], page: gr.Blocks) -> None:
    shown = gr.State([])  # the choices that a click on each image of the page would be
    with gr.Row():
        folder = gr.Dropdown(folders, value=folders[0], label="class", elem_id="review-class")
        number = gr.Slider(1, 2, 1, step=1, label="page", elem_id="review-page")
    gr.Markdown("Click an image to drop it, once more to keep it. Nothing is deleted.")
    gallery = gr.Gallery(
        label=CAPTION,
        columns=4,
        height=900,
        object_fit="contain",
        allow_preview=False,
        elem_id="reviewed",
    )
    state = gr.Markdown(elem_id="review-state")
    show = partial(_show_page, review)
    inputs, outputs = [folder, number], [gallery, state, shown, number]
    gr.on([page.load], show, inputs, outputs)
    folder.change(lambda folder: show(folder, 1), folder, outputs)
    number.change(show, inputs, outputs, trigger_mode="always_last")
    gallery.select(_chooser(review), [shown], None).then(show, inputs, outputs)


def _show_page(review: Review, folder: str, number: int) -> tuple[list[Any], str, list[Any], Any]:
    """Return the pictures of a page with captions, what is used, a choice each, and the slider."""
    try:
        found = review.page(folder, int(number))
    except UserError as error:
        raise gr.Error(str(error)) from None
    pictures = [
        (tile(image, not is_used), f"{Path(row.file).name}: {_caption(image)}")
        for row, is_used, image in found.shown
    ]
    choices = [Choice(row.file, row.sha256, not is_used) for row, is_used, _ in found.shown]
    lines = [f"{found.used} of {found.total} images are used", *found.unreadable]
    slider = gr.Slider(value=found.number, maximum=max(found.pages, 2))
    return pictures, "\n\n".join(lines), choices, slider


def _chooser(review: Review) -> Callable[..., None]:
    def choose(shown: list[Choice], clicked: gr.SelectData) -> None:
        try:
            meanwhile = review.choose(Choice(*shown[clicked.index]))
        except UserError as error:
            meanwhile = str(error)
        if meanwhile:
            gr.Warning(meanwhile)

    return choose


def tile(image: ComparedImage, dropped: bool = False) -> Image.Image:
    """Return a picture of the image with its source and its nearest; crossed out if dropped."""
    scale = max(1, round(CELL / image.generated.shape[-1]))
    cell = image.generated.shape[-1] * scale
    canvas = Image.new("RGB", (3 * cell + GAP, 2 * cell + GAP), (255, 255, 255))
    canvas.paste(enlarged(image.generated, 2 * scale), (0, 0))
    for row, image_u8 in enumerate((image.source, image.nearest)):
        if image_u8 is not None:
            canvas.paste(enlarged(image_u8, scale), (2 * cell + GAP, row * (cell + GAP)))
    if dropped:
        ink = ImageDraw.Draw(canvas)
        ink.line((0, 0, 2 * cell, 2 * cell), DROPPED_COLOUR, 6)
        ink.line((0, 2 * cell, 2 * cell, 0), DROPPED_COLOUR, 6)
    return canvas


def _caption(image: ComparedImage) -> str:
    return f"nearest at distance {image.distance:.2f}"
