"""The networks of a phase: the student as it begins, and its teachers."""

from dataclasses import replace
from pathlib import Path

import torch

from classify.evaluation.class_order import check_classes
from classify.methods.base import Teacher
from classify.methods.class_means import start_at_class_means
from classify.methods.phases import Phase
from classify.training.context import TrainingContext
from classify.training.job import JobImages
from classify.training.layout import CHECKPOINT
from classify.training.settings import TrainSettings
from tgn.data.image_set import ImageSet
from tgn.models.backbones import TappedNet, build_backbone, load_classifier
from tgn.models.feature_cache import FeatureCache
from tgn.probe.classifier import probed_network
from tgn.runtime.errors import UserError
from tgn.runtime.seeds import seed_of

ADAPTED_SCALE = 25.0  # of the cosine classifier beside adapters, as LIFT releases it


def build_student(context: TrainingContext, phase: Phase, images: JobImages) -> TappedNet:
    """Return the network that a phase begins with, on its device.

    Args:
        context: of the job.
        phase: one of the job's.
        images: training images of the phase.
    """
    torch.manual_seed(seed_of(context.settings.seed, "classifier init", phase.name))
    student = _student(context, phase, images)
    student.facts = replace(
        student.facts,
        test_symmetries=context.settings.test_symmetries,
        sample_range=images.main.sample_range,
    )
    student = context.device.place(student)
    if context.settings.tuning == "adapters" and phase.start is None:
        start_at_class_means(student, images.main, context.device)
    return student


def _student(context: TrainingContext, phase: Phase, images: JobImages) -> TappedNet:
    if phase.start is not None:
        started = load_classifier(context.job.directory / phase.start / CHECKPOINT)
        return started.requires_grad_(True)
    settings = context.settings
    if phase.on_paired:
        pairing = settings.cross_modality
        changes = {"bands": pairing.bands, "size": pairing.size or settings.size}
        settings = settings.model_copy(update=changes)
    if settings.start == "probe":
        real = images.part_of or (images.main, None)
        beside = None
        if images.mixed_in is not None and settings.generated_use != "features":
            beside = images.mixed_in.images
        cache = FeatureCache(context.features, context.device, context.progress)
        started = probed_network(settings, context.folders, real, cache, beside)
        return started.requires_grad_(True)
    return new_backbone(settings, context.folders)


def new_backbone(settings: TrainSettings, folders: tuple[str, ...]) -> TappedNet:
    """Return a network that begins with the weights of the settings and has their last layer.

    Raises:
        UserError: for weights that do not fit, or adapters in a network without blocks.
    """
    if settings.tuning == "adapters":
        student = build_backbone(settings, folders, ADAPTED_SCALE)
        student.adapt(settings.adapter_size)
        return student
    cosine_scale = settings.loss_options.ldam_scale if settings.loss == "ldam" else 0.0
    return build_backbone(settings, folders, cosine_scale)


def load_teachers(context: TrainingContext, phase: Phase, images: ImageSet) -> dict[str, Teacher]:
    """Load the teachers of a phase.

    Args:
        context: of the job.
        phase: one of the job's.
        images: that the teachers see.

    Raises:
        UserError: for a teacher of other classes, image size or bands than the images have.
    """
    teachers, folders = {}, context.folders
    for name, where in phase.teachers.items():
        file = where if isinstance(where, Path) else context.job.directory / where / CHECKPOINT
        net = load_classifier(file)
        check_classes(f"teacher {file}", net.facts.folders, folders)
        if (net.facts.size, net.facts.bands) != (images.size, images.bands):
            raise UserError(
                f"teacher {file} takes images of {net.facts.size} px and {net.facts.bands} bands, "
                f"but gets {images.size} px and {images.bands} bands; train one with "
                f"--set size={images.size} --set bands={images.bands}, or the student with "
                f"--set size={net.facts.size} --set bands={net.facts.bands}"
            )
        if net.facts.sample_range != images.sample_range:
            raise UserError(
                f"teacher {file} has seen 16-bit or float samples in the range "
                f"{net.facts.sample_range}, but gets {images.sample_range}; train one on this run"
            )
        teachers[name] = Teacher(context.device.place(net))
    return teachers
