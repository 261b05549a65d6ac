"""What the training loop knows of a detection task: a student, perhaps a teacher, and losses."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

from torch import Tensor, nn

Targets = list[dict[str, Tensor]]


def _identity(values: Tensor) -> Tensor:
    return values


class DistillationPair(NamedTuple):
    """Student and teacher of a distillation."""

    student: Any  # a detector of the same kind as the teacher
    teacher: Any  # in eval mode, without gradients
    seed: int
    precision: Callable[[], AbstractContextManager[Any]] = nullcontext  # of large layers
    average: Callable[[Tensor], Tensor] = _identity  # over processes


class DetectionTask(nn.Module):
    """The losses of training a detector; here by annotations alone.

    Its parameters are trained and its student is saved. A teacher is never one of its modules, so
    that no optimiser and no checkpoint has it.

    Args:
        student: the detector to train.
    """

    student: Any

    def __init__(self, student: nn.Module) -> None:
        super().__init__()
        self.student = student

    def forward(self, images: list[Tensor], targets: Targets, progress: float) -> dict[str, Tensor]:
        """Return the named losses of a step; their sum is minimised.

        Args:
            images: each [3, H, W] in [0, 1].
            targets: boxes and labels of each image.
            progress: steps done over steps, in [0, 1).
        """
        return self.student(images, targets)


class ActivationRecorder:
    """Records inputs and outputs of a module in training mode, by a forward hook.

    Args:
        module: whose forward passes are recorded.
    """

    def __init__(self, module: nn.Module) -> None:
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []
        module.register_forward_hook(self._record)

    def clear(self) -> None:
        """Delete the records."""
        self.inputs.clear()
        self.outputs.clear()

    def _record(self, module: nn.Module, inputs: Any, output: Any) -> None:
        if module.training:  # evaluation would fill the memory
            self.inputs.append(inputs)
            self.outputs.append(output)
