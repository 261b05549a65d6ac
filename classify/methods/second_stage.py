"""Second stages: the trained backbone is frozen, and only the classifier is adapted.

Source: Kang et al. 2020, Decoupling Representation and Classifier (arXiv 1910.09217), section 4.
"""

from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from classify.methods.base import Method
from classify.methods.phases import MethodInputs, Phase
from classify.methods.settings import SecondStageName, SecondStageSettings
from tgn.data.image_set import ImageSet
from tgn.data.images import to_pm1
from tgn.metrics.classification import confusion_matrix, group_accuracy
from tgn.models.backbones import TappedNet
from tgn.models.inference import predictions

FIRST_STAGE = "first-stage"
TAUS = tuple(i / 10 for i in range(21))
BATCH_SIZE = 256


class ClassifierOnly(Method):
    """Trains the classifier on a frozen backbone, batch statistics included."""

    def __init__(self, inputs: MethodInputs) -> None:
        super().__init__(inputs.student, inputs.criterion)
        self.student.requires_grad_(False)
        self.student.classifier.requires_grad_(True)

    def train(self, mode: bool = True) -> "ClassifierOnly":
        """Set the mode of the method; the student stays in eval mode."""
        super().train(mode)
        self.student.eval()
        return self


class Crt(ClassifierOnly):
    """Classifier re-training from random weights (cRT, section 4.1)."""

    def __init__(self, inputs: MethodInputs) -> None:
        inputs.student.classifier.reset_parameters()
        super().__init__(inputs)


class ScaledLinear(nn.Module):
    """A fixed linear layer with a trained factor for each class.

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
        """Return the linear layer with the factors in its weights."""
        with torch.no_grad():
            self.linear.weight.mul_(self.scale[:, None])
            self.linear.bias.mul_(self.scale)
        return self.linear


class Lws(ClassifierOnly):
    """Learnable weight scaling (LWS, section 4.3): one factor a class."""

    def __init__(self, inputs: MethodInputs) -> None:
        inputs.student.replace_classifier(ScaledLinear(inputs.student.classifier))
        super().__init__(inputs)
        inputs.student.classifier.linear.requires_grad_(False)

    def finalize(self, student: TappedNet) -> TappedNet:
        """Merge the factors into the weights."""
        student.replace_classifier(student.classifier.merged())
        return student


class TauNorm(Method):
    """Class weights divided by their norm to the power tau, without bias (section 4.2).

    Tau is the one of 0, 0.1, ..., 2 with the best class-mean accuracy on the validation part, or
    the given one if there is no validation part.
    """

    def __init__(self, inputs: MethodInputs, tau: float) -> None:
        super().__init__(inputs.student, inputs.criterion)
        self.inputs, self.tau = inputs, tau

    def finalize(self, student: TappedNet) -> TappedNet:
        """Rescale the classifier."""
        weight, bias = student.classifier.weight, student.classifier.bias
        original = weight.detach().clone()
        norm = original.norm(dim=1, keepdim=True).clamp(min=1e-12)

        def score(images: ImageSet, tau: float) -> float:
            weight.copy_(original / norm**tau)
            matrix = confusion_matrix(predictions(student, images, self.inputs.device))
            return group_accuracy(matrix, range(len(matrix))) or 0.0

        with torch.no_grad():
            bias.zero_()
            tau = self.tau
            if self.inputs.validation is not None:
                tau = max(TAUS, key=partial(score, self.inputs.validation))
            weight.copy_(original / norm**tau)
        return student


class NearestMean(Method):
    """Nearest class mean by cosine (NCM, section 4.1), written as weights of the classifier.

    A logit is the embedding's norm times the cosine to the class mean, so the nearest mean wins;
    the probabilities are not calibrated. A class without images is never predicted.
    """

    def __init__(self, inputs: MethodInputs) -> None:
        super().__init__(inputs.student, inputs.criterion)
        self.inputs = inputs

    @torch.no_grad()
    def finalize(self, student: TappedNet) -> TappedNet:
        """Compute the class means of the training images."""
        student.eval()
        device, layer = self.inputs.device, student.classifier
        sums = torch.zeros_like(layer.weight)
        for images_u8, labels in self.inputs.images.batches(BATCH_SIZE):
            with device.autocast():
                embedding = student(to_pm1(device.put(images_u8))).embedding
            sums.index_add_(0, labels.to(sums.device), F.normalize(embedding.float()))
        layer.weight.copy_(F.normalize(sums))
        absent = sums.abs().sum(1) == 0
        layer.bias.copy_(torch.where(absent, -1e4, 0.0))
        return student


def with_second_stage(
    phases: tuple[Phase, ...], name: SecondStageName, settings: SecondStageSettings
) -> tuple[Phase, ...]:
    """Return the phases with a second stage behind them; "none" returns them as they are."""
    if name == "none":
        return phases
    first = (*phases[:-1], replace(phases[-1], name=FIRST_STAGE))
    build = {
        "crt": Crt,
        "lws": Lws,
        "tau-norm": lambda inputs: TauNorm(inputs, settings.tau),
        "ncm": NearestMean,
    }[name]
    trained = name in ("crt", "lws")
    last = Phase(
        "",
        build,
        start=FIRST_STAGE,
        steps=settings.steps_fraction if trained else 0.0,
        lr=settings.lr_factor,
        balanced=trained,
    )
    return (*first, last)
