"""Second stages: the trained backbone is frozen, only the classifier is adapted, to real images.

Sources: Kang et al. 2020, Decoupling Representation and Classifier (arXiv 1910.09217), section 4;
Sun et al. 2025, label over-smoothing (arXiv 2403.00250); Alshammari et al. 2022, weight balancing
(arXiv 2203.14197).
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn

from classify.methods.base import Method
from classify.methods.class_means import class_directions
from classify.methods.phases import MethodInputs, Phase
from classify.methods.settings import SecondStageName, SecondStageSettings
from tgn.data.image_set import ImageSet
from tgn.metrics.classification import confusion_matrix, group_accuracy
from tgn.models.backbones import TappedNet
from tgn.models.inference import predictions
from tgn.probe.classifier import refitted_network
from tgn.runtime.progress import Silent

FIRST_STAGE = "first-stage"
TAUS = tuple(i / 10 for i in range(21))


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
    """Classifier re-training from random weights (cRT, section 4.1), or from 0.

    On labels that are smoothed by 0.98 this is label over-smoothing (LOS, Sun et al. 2025, arXiv
    2403.00250, section 4): the true class is only slightly likelier than 1 / C, so that no class,
    however often it was seen, gets a large logit. Differs from the paper: sampling is
    class-balanced, as in cRT, and the weights begin at 0: random ones give logits that are large
    beside those that smoothed labels ask for, and take long to be unlearned.

    Args:
        inputs: of the method.
        from_zero: whether the weights begin at 0.
    """

    def __init__(self, inputs: MethodInputs, from_zero: bool = False) -> None:
        inputs.student.classifier.reset_parameters()
        if from_zero:
            for parameter in inputs.student.classifier.parameters():
                nn.init.zeros_(parameter)
        super().__init__(inputs)


class MaxNorm(ClassifierOnly):
    """Weight balancing: the classifier goes on under weight decay, with a limit of its norms.

    After every step, the weights of a class that are longer than the limit are scaled back to it.
    Source: Alshammari et al. 2022 (arXiv 2203.14197), eq. 4, the limit as released: it lies
    between the smallest and the largest norm that the classes have after the first stage. Differs
    from the paper: class-balanced sampling instead of class weights in the loss.

    Args:
        inputs: of the method.
        position: of the limit: 0 is the smallest norm, 1 the largest.
    """

    def __init__(self, inputs: MethodInputs, position: float) -> None:
        super().__init__(inputs)
        norms = inputs.student.classifier.weight.detach().norm(dim=1)
        self.limit = torch.lerp(norms.min(), norms.max(), position)

    @torch.no_grad()
    def after_step(self) -> None:
        """Scale the weights of each class back into the ball (projected gradient descent)."""
        weight = self.student.classifier.weight
        weight.mul_((self.limit / weight.norm(dim=1, keepdim=True).clamp(min=1e-12)).clamp(max=1))


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


class RidgeRefit(Method):
    """The last layer is replaced by the class-weighted ridge probe of the trained features.

    The fit is in closed form, with the penalty of the smallest error of images left out; see
    :mod:`tgn.probe.fit`.
    """

    def __init__(self, inputs: MethodInputs) -> None:
        super().__init__(inputs.student, inputs.criterion)
        self.inputs = inputs

    def finalize(self, student: TappedNet) -> TappedNet:
        """Fit the classifier to the real training images."""
        return refitted_network(student.eval(), self.inputs.images, self.inputs.device, Silent())


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
        layer, inputs = student.classifier, self.inputs
        means = class_directions(student, inputs.images, layer.out_features, inputs.device)
        layer.weight.copy_(means)
        absent = means.abs().sum(1) == 0
        layer.bias.copy_(torch.where(absent, -1e4, 0.0))
        return student


def with_second_stage(
    phases: tuple[Phase, ...], name: SecondStageName, settings: SecondStageSettings
) -> tuple[Phase, ...]:
    """Return the phases with a second stage behind them; "none" returns them as they are."""
    if name == "none":
        return phases
    first = (*phases[:-1], replace(phases[-1], name=FIRST_STAGE))
    build: dict[str, Callable[[MethodInputs], Method]] = {
        "crt": partial(Crt, from_zero=settings.label_smoothing > 0),
        "ridge": RidgeRefit,
        "lws": Lws,
        "maxnorm": partial(MaxNorm, position=settings.norm_limit),
        "tau-norm": lambda inputs: TauNorm(inputs, settings.tau),
        "ncm": NearestMean,
    }
    trained = name in ("crt", "lws", "maxnorm")
    last = Phase(
        "",
        build[name],
        start=FIRST_STAGE,
        resets_head=name == "crt",
        steps=settings.steps_fraction if trained else 0.0,
        lr=settings.lr_factor,
        balanced=trained,
        real_only=True,
        weight_decay=settings.weight_decay if name == "maxnorm" else None,
        label_smoothing=settings.label_smoothing or None,
    )
    return (*first, last)
