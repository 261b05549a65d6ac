"""The phases of a training job: several trainings in turn, as a method lays them out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from classify.methods.base import Criterion, Method, Teacher
from tgn.data.image_set import ImageSet
from tgn.models.backbones import TappedNet
from tgn.runtime.devices import Device
from tgn.runtime.errors import UserError


@dataclass(frozen=True)
class MethodInputs:
    """What a method is built from at the beginning of a phase."""

    student: TappedNet
    criterion: Criterion
    teachers: Mapping[str, Teacher]
    counts: Tensor  # real training images of each class, [C]
    images: ImageSet  # training images of the student, without generated ones
    validation: ImageSet | None  # None where a class has no validation images
    device: Device
    seed: int


@dataclass(frozen=True)
class Phase:
    """One training; its classifier is written to ``<classifier>/<name>/``.

    Attributes:
        name: of the folder; "" for the last phase, whose classifier is the result.
        build: makes the method.
        teachers: what ``build`` finds in ``inputs.teachers``: the name of an earlier phase, or a
            file.
        start: phase whose weights the student begins with, or None for new ones.
        resets_head: the last layer begins anew all the same.
        classes: the student trains on images of these classes only; None for all.
        on_paired: the student gets the other sensor's images, the teachers those of the run.
        steps: share of the steps of the settings; 0 for none.
        lr: factor of the learning rate of the settings.
        balanced: class-balanced sampling whatever the settings say.
        real_only: without generated images.
        control: an earlier phase of equal length without a teacher, reported beside this one.
        weight_decay: in place of that of the settings, or None.
        label_smoothing: likewise.
    """

    name: str
    build: Callable[[MethodInputs], Method]
    teachers: Mapping[str, str | Path] = field(default_factory=dict)
    start: str | None = None
    resets_head: bool = False
    classes: tuple[int, ...] | None = None
    on_paired: bool = False
    steps: float = 1.0
    lr: float = 1.0
    balanced: bool = False
    real_only: bool = False
    control: str | None = None
    weight_decay: float | None = None
    label_smoothing: float | None = None

    @property
    def has_new_head(self) -> bool:
        """Whether the last layer has learned nothing when the phase begins."""
        return self.start is None or self.resets_head


@dataclass(frozen=True)
class RunFacts:
    """What a method may know of the run when it lays out its phases."""

    counts: tuple[int, ...]  # training images of each class, largest first
    num_head: int
    given_teacher: Path | None  # --teacher
    distilled: Path  # folder of the networks of tgn distill
    classifiers: Path  # folder of the run's classifiers


def plain(inputs: MethodInputs) -> Method:
    """Return the method that learns from labels alone."""
    return Method(inputs.student, inputs.criterion)


def given_teacher(facts: RunFacts, method: str) -> Path:
    """Return the file of the teacher that the user named.

    Raises:
        UserError: if there is none.
    """
    if facts.given_teacher is None:
        raise UserError(
            f"--method {method} needs --teacher, the name of a classifier of this run or a file; "
            "train one with e.g.: classify train --name teacher --set arch=resnet18"
        )
    return facts.given_teacher
