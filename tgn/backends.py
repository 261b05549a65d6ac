"""The ways to draw images: which there are, what each can be told, and how it is started."""

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, get_args

from tgn.data.runs import Run
from tgn.generation.cdtg.settings import DrawSettings, TrainSettings
from tgn.generation.diffusion.pretrained.settings import StableSampleSettings, StableSettings
from tgn.generation.diffusion.settings import DiffusionSettings, SampleSettings
from tgn.generation.settings import GenerateSettings
from tgn.runtime.config import Settings
from tgn.runtime.errors import UserError
from tgn.runtime.progress import Progress

if TYPE_CHECKING:  # what is of torch is imported when it is used: --help must not wait for it
    from tgn.generation.generate import Request, Studio

BackendName = Literal["cdtg", "diffusion", "stable-diffusion"]
BACKENDS: tuple[BackendName, ...] = get_args(BackendName)


@dataclass(frozen=True)
class Backend:
    """One way to draw; its modules are imported when they are needed, for --help must not wait."""

    title: str
    train_settings: type[Settings]
    draw_settings: type[GenerateSettings]
    room: str  # package with the modules stage (train) and sample (open_studio)
    weights: str  # file within a run

    def train(self, run: Run, settings: Settings, progress: Progress, resume: bool = True) -> None:
        """Train it on a run that has been distilled."""
        _module(f"{self.room}.stage").train(run, settings, progress, resume)

    def open_studio(self, run: Run, settings: GenerateSettings) -> "Studio":
        """Make ready to draw."""
        opened: Studio = _module(f"{self.room}.sample").open_studio(run, settings)
        return opened


_BACKENDS: dict[BackendName, Backend] = {
    "cdtg": Backend(
        "CDTG", TrainSettings, DrawSettings, "tgn.generation.cdtg", "cdtg/generator.safetensors"
    ),
    "diffusion": Backend(
        "diffusion",
        DiffusionSettings,
        SampleSettings,
        "tgn.generation.diffusion",
        "diffusion/denoiser.safetensors",
    ),
    "stable-diffusion": Backend(
        "a pretrained model",
        StableSettings,
        StableSampleSettings,
        "tgn.generation.diffusion.pretrained",
        "stable-diffusion/recipe.json",
    ),
}


def _module(name: str) -> Any:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name in ("diffusers", "transformers", "peft"):
            raise UserError(
                f"drawing by diffusion needs {error.name}: pip install 'tgn[diffusion]'"
            ) from None
        raise


def backend(name: str) -> Backend:
    """Return a way to draw.

    Raises:
        UserError: if there is none of that name.
    """
    if name not in BACKENDS:
        raise UserError(f"--backend got {name!r}, expected one of {', '.join(BACKENDS)}")
    return _BACKENDS[name]


def trained_backend(run: Run, asked: str | None = None) -> Backend:
    """Return the backend that was asked for, else the one that was trained last, else CDTG.

    Raises:
        UserError: for a name that is none.
    """
    if asked is not None:
        return backend(asked)
    files = {name: run.path / _BACKENDS[name].weights for name in BACKENDS}
    trained = {name: file for name, file in files.items() if file.is_file()}
    return _BACKENDS[
        max(trained, key=lambda name: trained[name].stat().st_mtime_ns, default="cdtg")
    ]


def generate(
    run: Run, request: "Request", progress: Progress, resume: bool = True
) -> dict[str, int]:
    """Draw images with what was trained last; see `tgn.generation.generate.generate`."""
    from tgn.generation.generate import generate as draw_all

    studio = trained_backend(run).open_studio(run, request.settings)
    return draw_all(run, studio, request, progress, resume)
