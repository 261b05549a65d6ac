"""Generated images for the features alone: the classifier learns from real ones.

Generated images carry the classes into the features, where they hold the network to what it knew at
the start: a distillation on generated images, as by Li et al. 2023 (arXiv 2305.12954), with the
distance of BYOL (Grill et al. 2020, arXiv 2006.07733). What is wrong in their labels harms nothing.
"""

import copy

from torch import Tensor

from classify.losses.distillation import unit_distance
from classify.methods.base import Batch, Method, MethodOutput, Teacher, add_terms
from classify.methods.phases import MethodInputs


class GeneratedFeatures(Method):
    """Loss of the labels of real images + weight * distance of embeddings of generated ones.

    The distance is that to the network as it began, 0 for a real image, and of a mixed one by how
    much of its label a generated image brings. The mean is over the whole batch.

    Args:
        inputs: whose criterion gives generated images no weight.
        weight: of the distance.
    """

    def __init__(self, inputs: MethodInputs, weight: float) -> None:
        super().__init__(inputs.student, inputs.criterion)
        self.weight = weight
        self._teachers = {"start": Teacher(copy.deepcopy(inputs.student))}

    def forward(self, batch: Batch) -> MethodOutput:
        """Return the loss of a batch."""
        output = self.student(batch.images_pm1)
        logits = output.logits.float()
        labels = self.criterion(logits, batch)
        distance = self._distance(output.embedding, batch)
        return add_terms(labels, logits, features=(self.weight, distance))

    def _distance(self, embedding: Tensor, batch: Batch) -> Tensor:
        own, other = batch.is_generated.float(), batch.partner_is_generated.float()
        generated = batch.share * own + (1 - batch.share) * other
        if not generated.any():  # in the last part: the teacher need not look
            return generated.mean()
        known = self._teachers["start"](batch.images_pm1).embedding
        return (generated * unit_distance(embedding, known)).mean()
