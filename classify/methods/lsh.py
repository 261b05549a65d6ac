"""Feature mimicking: the student's embedding matches the teacher's, above all in its direction.

Directions are compared by random hyperplanes (locality-sensitive hashing, LSH).

Source: Wang et al. 2021, Distilling Knowledge by Mimicking Features (TPAMI, arXiv 2011.01424).

Differs from the released code: the mask of the teacher's mistakes cannot divide by zero, and with
``loss=lsh`` alone the student's embedding is scaled to the teacher's length before hashing.
"""

import torch
from torch import Tensor, nn

from classify.losses.hashing import (
    Hyperplanes,
    l2_per_image,
    linear_warmup,
    lsh_per_image,
    masked_mean,
    with_length_of,
)
from classify.methods.base import Batch, Method, MethodOutput, add_terms
from classify.methods.phases import MethodInputs, Phase, RunFacts, given_teacher
from classify.methods.settings import LshSettings
from tgn.data.images import to_pm1
from tgn.models.backbones import Output, TappedNet
from tgn.models.inference import batch_size
from tgn.runtime.seeds import generator


class MatchedClassifier(nn.Module):
    """Two linear layers, embedding [E] -> the teacher's size -> classes, that are one matrix.

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
        """Return one linear layer with the same output."""
        match, last = self.match, self.last
        layer = nn.Linear(match.in_features, last.out_features, device=last.weight.device)
        weight = last.weight.double()
        layer.weight.copy_(weight @ match.weight.double())
        layer.bias.copy_(weight @ match.bias.double() + last.bias.double())
        return layer


class LshMimicking(Method):
    """Labels + beta (L2 and/or LSH loss of the embeddings).

    With ``matching_fraction`` there are two stages, as the authors train on several labels: first
    the matching layer alone mimics, without labels, then everything is trained.
    """

    def __init__(self, inputs: MethodInputs, settings: LshSettings) -> None:
        super().__init__(inputs.student, inputs.criterion)
        self.settings, self._teachers, self.device = settings, inputs.teachers, inputs.device
        teacher = inputs.teachers["teacher"].net
        student, size = inputs.student, teacher.embedding_size
        if student.embedding_size != size or settings.matching_fraction:
            matched = MatchedClassifier(student.embedding_size, size, len(inputs.counts))
            student.replace_classifier(inputs.device.place(matched))
        std = float(teacher.classifier.weight.detach().float().std())
        rng = generator(inputs.seed, "lsh hyperplanes")
        planes = Hyperplanes(size, settings.num_hashes, std, rng)
        self.hyperplanes = planes.to(inputs.device.torch_device)
        embeddings = torch.empty(0)
        if settings.bias != "zero":
            embeddings = self._embeddings(inputs)
        self.hyperplanes.set_bias(settings.bias, embeddings)

    def forward(self, batch: Batch) -> MethodOutput:
        """Return the loss of a batch."""
        first = self.settings.matching_fraction
        is_matching = batch.progress < first
        with torch.set_grad_enabled(not is_matching):  # what has no gradient is not trained
            output = self.student(batch.images_pm1)
        target = self._teachers["teacher"](batch.images_pm1)
        logits = output.logits.float()
        mimicked = self._mimicked(self._matched(output.embedding), target, batch.labels)
        if is_matching:
            loss = self.settings.weight * torch.stack(list(mimicked.values())).sum()
            return MethodOutput(loss, {"loss": loss, **mimicked}, logits)
        # Early features are unbounded.
        progress = (batch.progress - first) / (1 - first)
        weight = linear_warmup(self.settings.weight, progress, self.settings.warmup)
        terms = {name: (weight, value) for name, value in mimicked.items()}
        return add_terms(self.criterion(logits, batch), logits, **terms)

    def _mimicked(self, embedding: Tensor, target: Output, labels: Tensor) -> dict[str, Tensor]:
        """Return the mimicking losses, over images where the teacher is right."""
        mask = torch.ones(len(embedding), device=embedding.device)
        if self.settings.mask and labels.ndim == 1:  # no such mask with several labels
            mask = (target.logits.argmax(1) == labels).float()
        found = {}
        if self.settings.loss != "lsh":
            found["l2"] = self._mean(l2_per_image(embedding, target.embedding), mask)
        if self.settings.loss != "l2":
            found["lsh"] = self._mean(self._lsh(embedding, target.embedding), mask)
        return found

    def finalize(self, student: TappedNet) -> TappedNet:
        """Merge the layer that matched the embedding sizes into the classifier."""
        if isinstance(student.classifier, MatchedClassifier):
            student.replace_classifier(student.classifier.merged())
        return student

    def _lsh(self, embedding: Tensor, target: Tensor) -> Tensor:
        values = self.hyperplanes(target)
        if self.settings.loss == "lsh":
            embedding = with_length_of(embedding, target)
        return lsh_per_image(self.hyperplanes(embedding), values)

    def _mean(self, values: Tensor, mask: Tensor) -> Tensor:
        return masked_mean(values, mask, self.device)

    def _matched(self, embedding: Tensor) -> Tensor:
        layer = self.student.classifier
        return layer.match(embedding) if isinstance(layer, MatchedClassifier) else embedding

    def _embeddings(self, inputs: MethodInputs) -> Tensor:
        """Return the teacher's embeddings of the training images without augmentation, [n, E]."""
        device, found = inputs.device, []
        for images_u8, _ in inputs.images.batches(batch_size(device)):
            with device.autocast():
                output = self._teachers["teacher"](to_pm1(device.put(images_u8)))
            found.append(output.embedding.float())
        return torch.cat(found)


def phases(settings: LshSettings, facts: RunFacts) -> tuple[Phase, ...]:
    """Return the one phase of ``lsh``.

    Raises:
        UserError: without ``--teacher``.
    """
    teachers = {"teacher": given_teacher(facts, "lsh")}
    return (Phase("", lambda inputs: LshMimicking(inputs, settings), teachers),)
