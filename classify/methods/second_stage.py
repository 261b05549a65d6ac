"""Second stages: a trained body stays as it is, and only its classifier is made fairer.

Source: Kang et al. 2020, Decoupling Representation and Classifier (arXiv 1910.09217), section 4.
"""

from dataclasses import replace
from functools import partial
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from classify.methods.base import Method
from classify.methods.phases import Parts, Phase
from tgn.data.image_set import ImageSet
from tgn.data.images import to_pm1
from tgn.metrics.classification import confusion_matrix, group_accuracy
from tgn.models.backbones import TappedNet
from tgn.models.inference import predictions
from tgn.runtime.config import Settings

FinishName = Literal["none", "crt", "lws", "tau-norm", "ncm"]
FIRST_STAGE = "first-stage"
TAUS = tuple(i / 10 for i in range(21))
BATCH_SIZE = 256


class FinishSettings(Settings):
    """Settings of the second stage."""

    steps: float = Field(0.2, gt=0, le=1, description="crt, lws: share of the steps")
    lr: float = Field(1.0, gt=0, description="crt, lws: times the learning rate")
    tau: float = Field(1.0, ge=0, description="tau-norm: where no validation part can choose it")


class HeadOnly(Method):
    """Trains the classifier on a body that stays as it is, batch statistics included."""

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts.student, parts.criterion)
        self.student.requires_grad_(False)
        self.student.classifier.requires_grad_(True)

    def train(self, mode: bool = True) -> "HeadOnly":
        """Keep the student in eval whatever is asked for."""
        super().train(mode)
        self.student.eval()
        return self


class Crt(HeadOnly):
    """A new classifier from random weights (cRT, section 4.1)."""

    def __init__(self, parts: Parts) -> None:
        parts.student.classifier.reset_parameters()
        super().__init__(parts)


class ScaledLinear(nn.Module):
    """A fixed linear layer whose classes are scaled by trained factors.

    Args:
        linear: E -> C.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.linear, self.in_features = linear, linear.in_features
        self.scale = nn.Parameter(torch.ones(linear.out_features, device=linear.weight.device))

    def forward(self, embedding: Tensor) -> Tensor:
        """[B, E] -> [B, C]."""
        return self.linear(embedding) * self.scale

    def merged(self) -> nn.Linear:
        """Return the linear layer that does the same."""
        with torch.no_grad():
            self.linear.weight.mul_(self.scale[:, None])
            self.linear.bias.mul_(self.scale)
        return self.linear


class Lws(HeadOnly):
    """Learnable weight scaling (LWS, section 4.3): one factor a class."""

    def __init__(self, parts: Parts) -> None:
        parts.student.replace_classifier(ScaledLinear(parts.student.classifier))
        super().__init__(parts)
        parts.student.classifier.linear.requires_grad_(False)

    def finished(self, student: TappedNet) -> TappedNet:
        """Put the factors into the weights."""
        student.replace_classifier(student.classifier.merged())
        return student


class TauNorm(Method):
    """Class weights divided by their length to the power tau, without bias (section 4.2).

    Tau is the one of 0, 0.1, ..., 2 with the best class-mean accuracy on the validation part.
    """

    def __init__(self, parts: Parts, tau: float) -> None:
        super().__init__(parts.student, parts.criterion)
        self.parts, self.tau = parts, tau

    def finished(self, student: TappedNet) -> TappedNet:
        """Rescale the classifier."""
        weight, bias = student.classifier.weight, student.classifier.bias
        plain = weight.detach().clone()
        length = plain.norm(dim=1, keepdim=True).clamp(min=1e-12)

        def score(images: ImageSet, tau: float) -> float:
            weight.copy_(plain / length**tau)
            matrix = confusion_matrix(predictions(student, images, self.parts.device))
            return group_accuracy(matrix, range(len(matrix))) or 0.0

        with torch.no_grad():
            bias.zero_()
            tau = self.tau
            if self.parts.validation is not None:
                tau = max(TAUS, key=partial(score, self.parts.validation))
            weight.copy_(plain / length**tau)
        return student


class NearestMean(Method):
    """Nearest class mean by cosine (NCM, section 4.1), written as weights of the classifier.

    A logit is the embedding's length times the cosine to the class mean, so the nearest mean wins;
    the probabilities are not calibrated. A class without images is never chosen.
    """

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts.student, parts.criterion)
        self.parts = parts

    @torch.no_grad()
    def finished(self, student: TappedNet) -> TappedNet:
        """Compute the means."""
        student.eval()
        device, layer = self.parts.device, student.classifier
        sums = torch.zeros_like(layer.weight)
        for images_u8, labels in self.parts.images.batches(BATCH_SIZE):
            with device.autocast():
                embedding = student(to_pm1(device.put(images_u8))).embedding
            sums.index_add_(0, labels.to(sums.device), F.normalize(embedding.float()))
        layer.weight.copy_(F.normalize(sums))
        absent = sums.abs().sum(1) == 0
        layer.bias.copy_(torch.where(absent, -1e4, 0.0))
        return student


def finished_phases(
    phases: tuple[Phase, ...], name: FinishName, settings: FinishSettings
) -> tuple[Phase, ...]:
    """Return the phases with a second stage behind them."""
    if name == "none":
        return phases
    first = (*phases[:-1], replace(phases[-1], name=FIRST_STAGE))
    build = {
        "crt": Crt,
        "lws": Lws,
        "tau-norm": lambda parts: TauNorm(parts, settings.tau),
        "ncm": NearestMean,
    }[name]
    trained = name in ("crt", "lws")
    last = Phase(
        "",
        build,
        start=FIRST_STAGE,
        steps=settings.steps if trained else 0.0,
        lr=settings.lr,
        balanced=trained,
    )
    return (*first, last)
