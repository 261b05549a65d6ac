"""The student mimics the teacher's embedding, above all its direction, by random hyperplanes.

Source: Wang et al. 2021, Distilling Knowledge by Mimicking Features (TPAMI, arXiv 2011.01424).

Differs from the released code: the mask of the teacher's mistakes cannot divide by zero, and the
hashes see embeddings scaled to a mean square of 1 where nothing else bounds them (``lsh`` alone).
"""

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from classify.losses.hashing import Bias, Hashes, Mimic, l2_each, lsh_each, masked_mean
from classify.methods.base import Batch, Method, MethodOutput, added
from classify.methods.phases import Facts, Parts, Phase, given_teacher
from tgn.data.images import to_pm1
from tgn.models.backbones import TappedNet
from tgn.runtime.config import Settings
from tgn.runtime.seeds import generator

BATCH_SIZE = 256


class LshSettings(Settings):
    """Settings of ``--method lsh``."""

    mimic: Mimic = Field("lshl2", description="l2, lsh, or both")
    weight: float = Field(6.0, ge=0, description="beta, of the mimicking")
    hashes: int = Field(2048, ge=1, description="N hyperplanes")
    bias: Bias = Field("median", description="where the hyperplanes cut: zero, mean, median")
    mask: bool = Field(True, description="mimic only where the teacher is right")
    warm_up: float = Field(0.1, ge=0, lt=1, description="share of the steps until full weight")


class MatchedClassifier(nn.Module):
    """Two linear layers, student's embedding -> teacher's size -> classes, that are one matrix.

    Args:
        size: E of the student.
        teacher_size: E of the teacher.
        classes: C.
    """

    def __init__(self, size: int, teacher_size: int, classes: int) -> None:
        super().__init__()
        self.in_features = size
        self.match, self.last = nn.Linear(size, teacher_size), nn.Linear(teacher_size, classes)

    def forward(self, embedding: Tensor) -> Tensor:
        """[B, E] -> logits [B, C]."""
        return self.last(self.match(embedding))

    @torch.no_grad()
    def merged(self) -> nn.Linear:
        """Return the one layer that does the same."""
        match, last = self.match, self.last
        layer = nn.Linear(match.in_features, last.out_features, device=last.weight.device)
        weight = last.weight.double()
        layer.weight.copy_(weight @ match.weight.double())
        layer.bias.copy_(weight @ match.bias.double() + last.bias.double())
        return layer


class LshMimicking(Method):
    """Labels + beta (L2 and/or LSH) of the embeddings."""

    def __init__(self, parts: Parts, settings: LshSettings) -> None:
        super().__init__(parts.student, parts.criterion)
        self.settings, self._teachers, self.device = settings, parts.teachers, parts.device
        teacher = parts.teachers["teacher"].net
        student, size = parts.student, teacher.embedding_size
        if student.embedding_size != size:
            matched = MatchedClassifier(student.embedding_size, size, len(parts.counts))
            student.replace_classifier(parts.device.place(matched))
        std = float(teacher.classifier.weight.detach().float().std())
        draw = generator(parts.seed, "lsh hyperplanes")
        self.hashes = Hashes(size, settings.hashes, std, draw).to(parts.device.torch_device)
        embeddings = torch.empty(0)
        if settings.bias != "zero":
            embeddings = self._embeddings(parts)
        self.hashes.set_bias(settings.bias, embeddings)

    def forward(self, batch: Batch) -> MethodOutput:
        """Return the loss of a batch."""
        output = self.student(batch.images_pm1)
        taught = self._teachers["teacher"](batch.images_pm1)
        embedding, logits = self._matched(output.embedding), output.logits.float()
        mask = torch.ones(len(logits), device=logits.device)
        if (
            self.settings.mask and batch.labels.ndim == 1
        ):  # of several labels none is "the" right one
            mask = (taught.logits.argmax(1) == batch.labels).float()
        terms = {}
        weight = self._weight(batch.progress)
        if self.settings.mimic != "lsh":
            terms["l2"] = (weight, self._mean(l2_each(embedding, taught.embedding), mask))
        if self.settings.mimic != "l2":
            terms["lsh"] = (weight, self._mean(self._lsh(embedding, taught.embedding), mask))
        return added(self.criterion(logits, batch), logits, **terms)

    def finished(self, student: TappedNet) -> TappedNet:
        """Merge the layer that matched the sizes away."""
        if isinstance(student.classifier, MatchedClassifier):
            student.replace_classifier(student.classifier.merged())
        return student

    def _lsh(self, embedding: Tensor, taught: Tensor) -> Tensor:
        values = self.hashes(taught)
        if self.settings.mimic == "lsh":
            # Only signs are asked for: without a bound the length, and with it the certainty,
            # would grow for ever. The teacher's own length is the natural one.
            length = taught.float().norm(dim=1, keepdim=True)
            embedding = F.normalize(embedding.float()) * length
        return lsh_each(self.hashes(embedding), values)

    def _mean(self, values: Tensor, mask: Tensor) -> Tensor:
        return masked_mean(values, mask, self.device)

    def _matched(self, embedding: Tensor) -> Tensor:
        layer = self.student.classifier
        return layer.match(embedding) if isinstance(layer, MatchedClassifier) else embedding

    def _weight(self, progress: float) -> float:
        """Rise to beta over the warm-up: at first nothing bounds what the student says."""
        if self.settings.warm_up == 0:
            return self.settings.weight
        return self.settings.weight * min(progress / self.settings.warm_up, 1.0)

    def _embeddings(self, parts: Parts) -> Tensor:
        """Return the teacher's embeddings of the training images as they are, [n, D]."""
        device, found = parts.device, []
        for images_u8, _ in parts.images.batches(BATCH_SIZE):
            with device.autocast():
                output = self._teachers["teacher"](to_pm1(device.put(images_u8)))
            found.append(output.embedding.float())
        return torch.cat(found)


def phases(settings: LshSettings, facts: Facts) -> tuple[Phase, ...]:
    """Return the one phase."""
    teachers = {"teacher": given_teacher(facts, "lsh")}
    return (Phase("", lambda parts: LshMimicking(parts, settings), teachers),)
