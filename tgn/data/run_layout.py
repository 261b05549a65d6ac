"""The layout of a run's folder: every path that one stage writes and another reads, by name."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

# Files in the folder of a classifier.
CHECKPOINT = "classifier.safetensors"
CONFUSION_PICTURE = "confusion.png"
METRICS = "metrics.json"  # written last: its presence marks a finished training

# Of files in scores/; those without it have no independent judge.
SCORES_FORMAT: Final = "tgn-scores-2"


@dataclass(frozen=True)
class RunLayout:
    """Paths below a run's folder; none of them needs to exist.

    Attributes:
        path: the run's folder, ``checkpoints/<run>``.
    """

    path: Path

    @property
    def record_file(self) -> Path:
        """What ``tgn split`` was run with; written last, so that its presence marks a run."""
        return self.path / "run.yaml"

    @property
    def split_file(self) -> Path:
        """Class order, head and tail, and the parts of the data."""
        return self.path / "split.json"

    @property
    def split_list_file(self) -> Path:
        """The split as a portable list with hashes, for others to take and to cite."""
        return self.path / "split.csv"

    @property
    def histogram_file(self) -> Path:
        """Picture of the class counts."""
        return self.path / "histogram.png"

    @property
    def prompts_file(self) -> Path:
        """Sentences for classes that the user wrote."""
        return self.path / "prompts.yaml"

    @property
    def unpacked_data(self) -> Path:
        """Images of a data set that was given as a .zip."""
        return self.path / "data"

    @property
    def kmdn(self) -> Path:
        """Head net, tail net and feature bank of ``tgn distill``."""
        return self.path / "kmdn"

    @property
    def tail_net(self) -> Path:
        """The tail net of ``tgn distill``."""
        return self.kmdn / "tail.safetensors"

    @property
    def latents(self) -> Path:
        """The learned latent space of the generators."""
        return self.path / "latents"

    @property
    def autoencoder(self) -> Path:
        """Weights of the autoencoder from images to latents and back."""
        return self.latents / "autoencoder.safetensors"

    @property
    def distill_accuracy(self) -> Path:
        """What ``tgn distill`` brought on the test part."""
        return self.kmdn / "accuracy.json"

    @property
    def cdtg(self) -> Path:
        """Generator of ``tgn train``."""
        return self.path / "cdtg"

    @property
    def cdtg_generator(self) -> Path:
        """Weights of the generator of ``tgn train`` or ``tgn import``."""
        return self.cdtg / "generator.safetensors"

    @property
    def cdtg_import(self) -> Path:
        """The generator of ``tgn import``, kept when ``tgn train --init imported`` begins."""
        return self.cdtg / "imported.safetensors"

    @property
    def diffusion(self) -> Path:
        """Denoiser of ``tgn train --backend diffusion``."""
        return self.path / "diffusion"

    @property
    def denoiser(self) -> Path:
        """Weights of the denoiser of ``tgn train --backend diffusion``."""
        return self.diffusion / "denoiser.safetensors"

    @property
    def pretrained(self) -> Path:
        """Adapted model of ``tgn train --backend stable-diffusion``."""
        return self.path / "stable-diffusion"

    @property
    def pretrained_record(self) -> Path:
        """Which model ``tgn train --backend stable-diffusion`` adapted, and how."""
        return self.pretrained / "recipe.json"

    @property
    def generated(self) -> Path:
        """Generated images in class folders, and their manifest."""
        return self.path / "generated"

    @property
    def scores(self) -> Path:
        """Results of ``tgn score``."""
        return self.path / "scores"

    @property
    def feature_cache(self) -> Path:
        """Features of image sets, kept between scorings; may be deleted."""
        return self.scores / "features"

    @property
    def classifiers(self) -> Path:
        """A folder for each classifier of ``classify train``."""
        return self.path / "classify"

    @property
    def comparison(self) -> Path:
        """The trainings of ``classify compare``."""
        return self.classifiers / "compare"

    @property
    def comparison_file(self) -> Path:
        """The table of ``classify compare`` as JSON; .csv, .md and .png lie beside it."""
        return self.path / "compare.json"

    @property
    def report_file(self) -> Path:
        """The page of ``tgn report``."""
        return self.path / "report.html"

    @property
    def assessment_file(self) -> Path:
        """All that ``tgn assess`` found, as JSON."""
        return self.path / "assess.json"

    @property
    def assessment_page(self) -> Path:
        """The page of ``tgn assess``."""
        return self.path / "assess.html"
