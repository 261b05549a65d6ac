"""The tail net of a run, frozen, as the training of a generator needs it."""

from tgn.data.runs import Run
from tgn.models.backbones import load_classifier
from tgn.models.feature_bank import tail_net_file
from tgn.models.tail_features import FrozenTailNet
from tgn.runtime.devices import Device
from tgn.runtime.errors import UserError
from tgn.runtime.training_loop import Job


def load_frozen_tail_net(run: Run, device: Device) -> FrozenTailNet:
    """Load the tail net of a run for training or guiding a generator.

    Raises:
        NotFoundError: without a tail net (``tgn distill`` makes it).
        UserError: if it takes images of other than 1 or 3 bands, which cannot be generated.
    """
    tail_net = device.place(load_classifier(tail_net_file(run.kmdn)))
    if tail_net.facts.bands not in (1, 3):
        raise UserError(
            f"the tail net takes images of {tail_net.facts.bands} bands, and only images of 1 or 3 "
            "bands can be generated: tgn distill --set bands=3 (classify takes any number)"
        )
    return FrozenTailNet(tail_net)


def warn_of_smaller_input(tail_net: FrozenTailNet, size: int, job: Job) -> None:
    """Say that a tail net sees less than the generator draws, if it does.

    Args:
        tail_net: gives features to the generator and judges its images.
        size: side of the generator's images in pixels.
        job: of the training; its main process speaks.
    """
    side = tail_net.tail_net.facts.size
    if side < size and job.device.is_main:
        job.progress.warn(
            f"the tail net sees images at {side} px and the generator draws {size} px: it knows "
            f"nothing of finer detail; better: tgn distill --set size={size} --no-resume"
        )
