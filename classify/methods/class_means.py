"""Directions of the classes: the mean embedding of their training images, of unit length."""

import torch
from torch import Tensor
from torch.nn import functional as F

from tgn.data.image_set import ImageSet
from tgn.data.images import to_pm1
from tgn.models.backbones import TappedNet
from tgn.models.inference import batch_size
from tgn.runtime.devices import Device


@torch.no_grad()
def class_directions(student: TappedNet, images: ImageSet, classes: int, device: Device) -> Tensor:
    """Return the normalised sum of the unit embeddings of each class, [C, E]; 0 for an empty one.

    The network is left in eval mode.
    """
    student.eval()
    parameter = next(student.parameters())
    sums = parameter.new_zeros(classes, student.embedding_size)
    for images_u8, labels in images.batches(batch_size(device)):
        with device.autocast():
            embedding = student(to_pm1(device.put(images_u8))).embedding
        sums.index_add_(0, labels.to(sums.device), F.normalize(embedding.float()))
    return F.normalize(sums)


@torch.no_grad()
def start_at_class_means(student: TappedNet, images: ImageSet, device: Device) -> None:
    """Let the weights of a cosine classifier begin at the directions of the classes.

    Source: LIFT (Shi et al. 2024, arXiv 2309.10019), section 4.3, where they come from class names
    or, as here, from class means. A class without images keeps its random direction.
    """
    weight = student.classifier.weight
    means = class_directions(student, images, len(weight), device)
    has_images = means.abs().sum(1, keepdim=True) > 0
    weight.copy_(torch.where(has_images, means, weight))
