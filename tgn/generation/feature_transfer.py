"""Head-to-tail transfer: the features that an image is conditioned on vary as head classes do."""

import torch
from torch import Tensor

from tgn.data.split import Split
from tgn.generation.sampling_plan import SamplingPlan
from tgn.models.feature_bank import FeatureBank
from tgn.models.similar_classes import HeadPairs
from tgn.runtime.errors import UserError


def check_transfer(bank: FeatureBank, split: Split, transfer: float) -> None:
    """Check that there are differences to transfer.

    Raises:
        UserError: if some are wanted and the bank has no two images of a head class.
    """
    if transfer and not _pairs(bank, split):
        raise UserError(
            f"transfer got {transfer:g}, but the feature bank has no two images of a head class; "
            "tgn distill, called again with its settings, adds them, or leave transfer out"
        )


def conditioning_features(
    bank: FeatureBank, split: Split, label: int, plan: SamplingPlan, transfer: float
) -> Tensor:
    """Return the features that images are conditioned on: f_i + t (f_a - f_b), [K, D, g, g].

    f_i are those of the source; a and b are two images of a head class that is like its class, see
    :class:`tgn.models.similar_classes.HeadPairs`, in the source's view. Each image's own generator
    chooses them. It is asked here alone, so this comes last: then nothing else of an image depends
    on t, and with t = 0 nothing is drawn.

    Args:
        bank: features of tail and head images.
        split: says which classes are the head.
        label: class index of the images.
        plan: their sources, views and random numbers.
        transfer: t, >= 0.
    """
    own = bank.features[plan.sources, plan.views].float()
    if transfer == 0:
        return own
    pairs = _pairs(bank, split)
    first, second = torch.tensor([pairs.draw(label, rng) for rng in plan.generators]).T
    difference = (
        bank.features[first, plan.views].float() - bank.features[second, plan.views].float()
    )
    return own + transfer * difference


def _pairs(bank: FeatureBank, split: Split) -> HeadPairs:
    return HeadPairs(bank.class_cosines, bank.labels, split.num_head)
