"""What the loop of detectors knows of a way of teaching."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

from torch import Tensor, nn

Targets = list[dict[str, Tensor]]


def _alone(values: Tensor) -> Tensor:
    return values


class Pair(NamedTuple):
    """Who learns from whom."""

    student: Any  # detectors of one kind
    teacher: Any  # in eval, without gradients
    seed: int
    precision: Callable[[], AbstractContextManager[Any]] = nullcontext  # of large layers
    average: Callable[[Tensor], Tensor] = _alone  # over processes


class Teaching(nn.Module):
    """A way to train a detector; here by labels alone.

    Its parameters are what is trained, its student what is saved. A teacher is never one of its
    modules, so that nothing trains or saves it.

    Args:
        student: the detector that learns.
    """

    student: Any

    def __init__(self, student: nn.Module) -> None:
        super().__init__()
        self.student = student

    def forward(self, images: list[Tensor], targets: Targets, progress: float) -> dict[str, Tensor]:
        """Return the named losses of a step; their sum is minimised.

        Args:
            images: each [3, H, W] in [0, 1].
            targets: their boxes and labels.
            progress: steps done over steps, in [0, 1).
        """
        return self.student(images, targets)


class Witness:
    """What went into and came out of a module in training since it was last cleared."""

    def __init__(self, module: nn.Module) -> None:
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []
        module.register_forward_hook(self._note)

    def clear(self) -> None:
        """Forget."""
        self.inputs.clear()
        self.outputs.clear()

    def _note(self, module: nn.Module, inputs: Any, output: Any) -> None:
        if module.training:  # a test set is not to be kept
            self.inputs.append(inputs)
            self.outputs.append(output)


def rising(weight: float, progress: float, warm_up: float) -> float:
    """A weight that grows evenly over the warm-up, a share of the steps."""
    return weight * min(progress / warm_up, 1.0) if warm_up > 0 else weight
