"""The backends of generation: which there are, their settings, how they are trained and opened."""

from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from tgn.data.runs import Run
from tgn.generation.cdtg.settings import CdtgSampleSettings, CdtgTrainSettings
from tgn.generation.diffusion.pretrained.settings import (
    PretrainedSampleSettings,
    PretrainedTrainSettings,
)
from tgn.generation.diffusion.settings import DiffusionSampleSettings, DiffusionTrainSettings
from tgn.generation.settings import GenerateSettings
from tgn.runtime.config import Settings
from tgn.runtime.errors import UserError
from tgn.runtime.locks import kept_unchanged
from tgn.runtime.progress import Progress

if TYPE_CHECKING:  # modules that import torch are imported on use: --help must answer at once
    from tgn.generation.generate import GenerationRequest, ImageSampler

BackendName = Literal["cdtg", "diffusion", "stable-diffusion"]
BACKENDS: tuple[BackendName, ...] = get_args(BackendName)


@dataclass(frozen=True)
class Backend:
    """One kind of generator. Its modules are imported on use, so that --help answers at once.

    Attributes:
        title: for messages.
        train_settings: of ``tgn train``.
        sample_settings: of ``tgn generate``.
        train_function: "module:function" that trains it on a run.
        open_function: "module:function" that loads it from a run.
        weights: its file in a run; written last, so that its presence marks a trained one.
        train_command: makes one of all classes in place of the one that is there.
        cost_function: "module:function" that says what memory a training takes; "" for none.
        fit_function: "module:function" that fits ``train_settings`` to a run; "" for none.
    """

    title: str
    train_settings: type[Settings]
    sample_settings: type[GenerateSettings]
    train_function: str
    open_function: str
    weights: Callable[[Run], Path]
    train_command: str
    cost_function: str = ""
    fit_function: str = ""

    def fitted(self, run: Run, settings: Settings) -> Settings:
        """Return the settings of a training as the files it starts from complete them.

        Args:
            run: to be trained.
            settings: of this backend's ``train_settings``.

        Raises:
            NotFoundError: without such a file.
            UserError: for settings that contradict it.
        """
        if not self.fit_function:
            return settings
        fitted: Settings = _imported(self.fit_function)(run, settings)
        return fitted

    def cost(self, settings: Settings) -> str:
        """Return what memory a training takes, in words; "" where nobody need ask.

        Args:
            settings: of this backend's ``train_settings``.
        """
        return str(_imported(self.cost_function)(settings)) if self.cost_function else ""

    def train(self, run: Run, settings: Settings, progress: Progress, resume: bool = True) -> None:
        """Train it on a run that has been distilled.

        Args:
            run: split and distilled.
            settings: of this backend's ``train_settings``.
            progress: gets the count of steps and warnings.
            resume: continue from the last checkpoint, if there is one.

        Raises:
            NotFoundError: without a tail net.
            UserError: for settings or data that cannot work, or if a package is not installed.
        """
        with kept_unchanged(run.kmdn):
            _imported(self.train_function)(run, settings, progress, resume)

    def kept(self, run: Run) -> AbstractContextManager[None]:
        """Keep what images are generated from: nothing of it is trained anew meanwhile."""
        return kept_unchanged(run.kmdn, self.weights(run).parent)

    def open_sampler(
        self, run: Run, settings: GenerateSettings, classes: Collection[int] = ()
    ) -> "ImageSampler":
        """Load the trained generator of a run.

        Args:
            run: trained.
            settings: of this backend's ``sample_settings``.
            classes: class indices of which images are wanted.

        Raises:
            NotFoundError: if the run has none; says which command makes it.
            UserError: if generator and feature bank come from different tail nets, or if head
                classes are wanted and one of the two knows the tail only.
        """
        from tgn.generation.head_classes import bank_is_tail_only

        wants_head = bool(classes) and run.split().is_head(min(classes))
        if wants_head and self.weights(run).is_file() and (why := self._is_tail_only(run)):
            raise UserError(why)
        sampler: ImageSampler = _imported(self.open_function)(run, settings)
        if wants_head and (why := bank_is_tail_only(run, sampler.bank)):
            raise UserError(why)
        return sampler

    def why_tail_only(self, run: Run, sampler: "ImageSampler") -> str:
        """Return why no head classes can be generated, in words; "" if they can.

        Args:
            run: trained.
            sampler: of :meth:`open_sampler`.
        """
        from tgn.generation.head_classes import bank_is_tail_only

        return self._is_tail_only(run) or bank_is_tail_only(run, sampler.bank)

    def _is_tail_only(self, run: Run) -> str:
        from tgn.generation.head_classes import generator_is_tail_only

        return generator_is_tail_only(self.weights(run), self.train_command)


_BACKENDS: dict[BackendName, Backend] = {
    "cdtg": Backend(
        title="CDTG",
        train_settings=CdtgTrainSettings,
        sample_settings=CdtgSampleSettings,
        train_function="tgn.generation.cdtg.train:train_cdtg",
        open_function="tgn.generation.cdtg.sampler:open_cdtg_sampler",
        weights=lambda run: run.cdtg_generator,
        train_command="tgn train --no-resume",
        fit_function="tgn.generation.cdtg.start:fitted_to_start",
    ),
    "diffusion": Backend(
        title="diffusion",
        train_settings=DiffusionTrainSettings,
        sample_settings=DiffusionSampleSettings,
        train_function="tgn.generation.diffusion.train:train_diffusion",
        open_function="tgn.generation.diffusion.sampler:open_diffusion_sampler",
        weights=lambda run: run.denoiser,
        train_command="tgn train --backend diffusion --no-resume",
    ),
    "stable-diffusion": Backend(
        title="a pretrained model",
        train_settings=PretrainedTrainSettings,
        sample_settings=PretrainedSampleSettings,
        train_function="tgn.generation.diffusion.pretrained.train:train_pretrained",
        open_function="tgn.generation.diffusion.pretrained.sampler:open_pretrained_sampler",
        weights=lambda run: run.pretrained_record,
        train_command="tgn train --backend stable-diffusion --model DIR --set tuning=lora "
        "--set classes=all --no-resume",
        cost_function="tgn.generation.diffusion.pretrained.cost:training_cost",
    ),
}


def _imported(name: str) -> Callable[..., Any]:
    """Return the function called "module:function".

    Raises:
        UserError: if a package of the extra ``tgn[diffusion]`` is not installed.
    """
    module, _, function = name.partition(":")
    try:
        found: Callable[..., Any] = getattr(import_module(module), function)
    except ModuleNotFoundError as error:
        if error.name in ("diffusers", "transformers", "peft"):
            raise UserError(
                f"this backend needs {error.name}: pip install 'tgn[diffusion]'"
            ) from None
        raise
    return found


def backend(name: str) -> Backend:
    """Return the backend of that name.

    Raises:
        UserError: if there is none.
    """
    if name not in BACKENDS:
        raise UserError(f"--backend got {name!r}, expected one of {', '.join(BACKENDS)}")
    return _BACKENDS[name]


def trained_backend(run: Run, name: str | None = None) -> Backend:
    """Return the backend called ``name``, else the one trained last in the run, else CDTG.

    Raises:
        UserError: for an unknown name.
    """
    if name is not None:
        return backend(name)
    files = {name: _BACKENDS[name].weights(run) for name in BACKENDS}
    trained = {name: file for name, file in files.items() if file.is_file()}
    return _BACKENDS[
        max(trained, key=lambda name: trained[name].stat().st_mtime_ns, default="cdtg")
    ]


def generate(
    run: Run, request: "GenerationRequest", progress: Progress, resume: bool = True
) -> dict[str, int]:
    """Generate images with the backend trained last; see `generate_images` for the rest."""
    from tgn.generation.generate import generate_images

    chosen = trained_backend(run)
    with chosen.kept(run):
        sampler = chosen.open_sampler(run, request.settings, request.classes)
        return generate_images(run, sampler, request, progress, resume)
