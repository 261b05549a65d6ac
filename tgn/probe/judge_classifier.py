"""The classifier of generated images: ridge on a judge's features, without their sources."""

from dataclasses import dataclass

import torch
from torch import Tensor

from tgn.models.classifier_layers import normalised_parts
from tgn.probe.balanced_ridge import LeaveRowsOut
from tgn.probe.linear import balanced_weights, best_scale
from tgn.probe.ridge import fit_ridge


@dataclass(frozen=True)
class JudgeClassifier:
    """A class-weighted ridge probe on all real training images.

    A generated image is classified by the fit that has not seen the images it was made of, or
    else it would be recognised by them. The mean that features are centred by is still that of all
    images.

    Attributes:
        mean: of the training features, [D].
        fit: of the training images, from which any few can be left out.
        penalty: lambda, chosen by leaving each training image out.
        scale: factor of the scores that makes them logits, chosen likewise.
    """

    mean: Tensor
    fit: LeaveRowsOut
    penalty: float
    scale: float

    def rows(self, features: Tensor) -> Tensor:
        """Return features as the fit takes them, centred and of unit length, float64 [N, D]."""
        return _unit(features, self.mean)

    def probabilities(self, features: Tensor, made_from: Tensor | None = None) -> Tensor:
        """Return class probabilities [N, C], float32.

        Args:
            features: of images, [N, D].
            made_from: rows in the training set of the images that each was made of, different
                ones, [N] or [N, K]; -1, or None: none.
        """
        if made_from is None:
            made_from = torch.full((len(features),), -1)
        left_out = made_from[:, None] if made_from.ndim == 1 else made_from
        scores = self.fit.scores(self.rows(features), left_out)
        return (self.scale * scores).softmax(dim=1).float()


def fit_judge_classifier(features: Tensor, labels: Tensor, classes: int) -> JudgeClassifier:
    """Fit the probe.

    Args:
        features: of the real training images of all classes, [N, D].
        labels: [N], of two or more classes.
        classes: C.
    """
    mean = features.mean(0)
    rows = _unit(features, mean)
    weights = balanced_weights(labels, classes)
    each = torch.arange(len(labels))
    ridge = fit_ridge(rows.float(), labels, weights, each, classes)
    scale = best_scale(ridge.left_out, labels, weights)
    fit = LeaveRowsOut.of(rows, labels, classes, ridge.penalty)
    return JudgeClassifier(mean, fit, ridge.penalty, scale)


def _unit(features: Tensor, mean: Tensor) -> Tensor:
    return normalised_parts(features.double(), mean, features.shape[1:])
