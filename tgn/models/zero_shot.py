"""CLIP as a classifier that was not trained on the images: the class whose prompts are nearest."""

from dataclasses import dataclass

from torch import Tensor

from tgn.data.image_set import ImageSet
from tgn.data.prompts import Prompts, read_prompts
from tgn.data.runs import Run
from tgn.data.split import Part
from tgn.models.clip import ClipGuide, load_clip
from tgn.models.extractors import Extractor, clip_extractor
from tgn.models.feature_cache import FeatureCache

NOT_TRAINED = "not trained on these images"
REMEDY = "use --set clip=ARCH:/path/to/file, or leave clip out"


@dataclass(frozen=True)
class ZeroShotClassifier:
    """A frozen CLIP with the prompts of some classes (Radford et al. 2021, arXiv 2103.00020)."""

    guide: ClipGuide
    extractor: Extractor

    def images(self, run: Run, part: Part) -> ImageSet:
        """Return the images of a part at CLIP's own side."""
        return run.split().image_set(part, run.path, self.guide.size, 3)

    def logits(self, images: ImageSet, cache: FeatureCache) -> Tensor:
        """Return the cosines to the classes by CLIP's temperature, [N, C]."""
        embeddings = cache.features(self.extractor, images)
        return self.guide.cosines(embeddings) * self.guide.logit_scale


def load_zero_shot(spec: str, prompts: Prompts) -> ZeroShotClassifier:
    """Load a CLIP through open_clip, with the prompts of some classes.

    Args:
        spec: ``ARCH:FILE`` or ``ARCH:TAG``, see :func:`tgn.models.clip.load_clip`.
        prompts: of each class, in the order of the labels.

    Raises:
        UserError: for an unknown architecture or weights that cannot be had.
    """
    guide = load_clip(spec, prompts, REMEDY).freeze()
    return ZeroShotClassifier(guide, clip_extractor(spec, guide))


def load_zero_shot_of(run: Run, spec: str) -> ZeroShotClassifier:
    """Load a CLIP with the prompts of a run: from class names, and of ``prompts.yaml``.

    Raises:
        UserError: as of :func:`load_zero_shot`, or for prompts that cannot be read.
    """
    return load_zero_shot(spec, read_prompts(run.prompts_file, run.split()))
