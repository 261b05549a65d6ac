"""Sampling a few images at once, as the slider moves."""

from tgn.app.real_images import ComparedImage, RealImages
from tgn.generation.generate import ImageSampler
from tgn.generation.settings import GenerateSettings


def sample_live(
    sampler: ImageSampler, real_images: RealImages, folder: str, settings: GenerateSettings
) -> list[ComparedImage]:
    """Return the first ``settings.block`` images of a class, each with two real ones to compare.

    They are those that ``tgn generate`` writes with this seed and noise, up to the last bit of a
    pixel, which depends on how many are sampled at once.

    Args:
        sampler: generator and feature bank.
        real_images: of the run, to compare with.
        folder: folder name of a class.
        settings: noise, seed and, as ``block``, how many.

    Raises:
        UserError: if there is no such class.
    """
    label = sampler.split.class_called(folder)
    images_u8, origins = sampler.sample_block(label, 0, settings)
    sources = [
        sampler.bank.files[origin.source] if origin.source >= 0 else "" for origin in origins
    ]
    return real_images.compare(images_u8, sources)
