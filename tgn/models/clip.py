"""CLIP through open_clip: from images to embeddings and to prompts, differentiable."""

from collections.abc import Callable, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any

# open_clip is imported where it is used: it takes seconds, and most verbs never need it.
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tgn.data.prompts import Prompts
from tgn.runtime.checkpoints import load_strictly, load_weights, sha256_of_weights
from tgn.runtime.errors import UserError
from tgn.runtime.files import sha256_of

# Weights whose activation is QuickGELU although their architecture's name does not say so.
# Sources: the model cards and notebooks of GeoRSCLIP and SkyCLIP, open_clip issue 771.
REMOTE_SENSING = {
    "remoteclip": ("ViT-B-32", False),
    "georsclip": ("ViT-B-32", True),
    "skyclip": ("ViT-L-14", True),
}


class ClipGuide(nn.Module):
    """Similarity of images to the prompts of every class.

    Args:
        model: of open_clip, or another with ``encode_image``, ``encode_text`` and ``logit_scale``.
        tokens: [C, P, L] tokenised prompts, P of them a class; prompt i belongs to class i.
        size: side at which the model takes images.
        mean: of its pixels in [0, 1], a number a band.
        std: likewise.
    """

    mean: Tensor
    std: Tensor
    tokens: Tensor

    def __init__(
        self, model: Any, tokens: Tensor, size: int, mean: Sequence[float], std: Sequence[float]
    ) -> None:
        super().__init__()
        self.model = model
        self.size = size
        self.register_buffer("tokens", tokens, persistent=False)
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1), persistent=False)
        self._prompts: Tensor | None = None

    def prompt_embeddings(self) -> Tensor:
        """Return [C, D] unit vectors, the mean over a class's prompts."""
        classes, prompts, _ = self.tokens.shape
        text = F.normalize(self.model.encode_text(self.tokens.flatten(0, 1)).float(), dim=1)
        return F.normalize(text.view(classes, prompts, -1).mean(1), dim=1)

    def freeze(self) -> "ClipGuide":
        """Stop learning; the prompts are embedded once and for all."""
        self.eval().requires_grad_(False)
        self._prompts = self.prompt_embeddings()
        return self

    def forward(self, images_pm1: Tensor) -> Tensor:
        """Return the cosines [B, C] of images [B, bands, H, W] to the classes."""
        return self.cosines(self.image_embeddings(images_pm1))

    def cosines(self, embeddings: Tensor) -> Tensor:
        """Return the cosines [B, C] of unit embeddings [B, D] to the classes."""
        prompts = self._prompts if self._prompts is not None else self.prompt_embeddings()
        return embeddings @ prompts.T.to(embeddings.device)

    def image_embeddings(self, images_pm1: Tensor) -> Tensor:
        """Return unit vectors [B, D] of images [B, bands, H, W]; one band counts as grey."""
        normalised = (self.resized(images_pm1) * 0.5 + 0.5 - self.mean) / self.std
        return F.normalize(self.model.encode_image(normalised).float(), dim=1)

    def resized(self, images_pm1: Tensor) -> Tensor:
        """Return images [B, bands, H, W] at the model's side and with its bands."""
        if images_pm1.shape[1] == 1:
            images_pm1 = images_pm1.expand(-1, self.mean.shape[1], -1, -1)
        return F.interpolate(
            images_pm1, size=(self.size, self.size), mode="bilinear", antialias=True
        )  # [B, bands, S, S]

    @property
    def logit_scale(self) -> float:
        """CLIP's inverse temperature."""
        return float(self.model.logit_scale.detach().exp())


def load_clip(spec: str, prompts: Prompts, remedy: str) -> ClipGuide:
    """Load ``arch:tag`` or ``arch:/local/file`` through open_clip.

    ``remoteclip:/file``, ``georsclip:/file`` and ``skyclip:/file`` stand for the architecture
    and activation of these remote-sensing weights.

    Args:
        spec: which.
        prompts: of each class.
        remedy: what the user of the calling command can set instead; ends every error.

    Returns:
        The CLIP on the CPU, not yet frozen.

    Raises:
        UserError: for an unknown architecture, a tag that is not cached and cannot be fetched, or
            weights that do not fit; says what to use instead.
    """
    import open_clip

    arch, separator, source = spec.partition(":")
    if not separator or not source:
        raise UserError(f"clip got {spec!r}, expected arch:tag or arch:/file; {remedy}")
    arch, quick_gelu = REMOTE_SENSING.get(arch, (arch, False))
    if arch not in open_clip.list_models():
        raise UserError(f"clip: open_clip has no architecture {arch!r}; {remedy}")
    is_file = "/" in source or Path(source).exists()
    model = _from_file(arch, source, quick_gelu) if is_file else _from_tag(arch, source, remedy)
    size = model.visual.image_size
    return ClipGuide(
        model,
        tokenised(open_clip.get_tokenizer(arch), prompts),
        size[0] if isinstance(size, tuple) else size,
        getattr(model.visual, "image_mean", None) or open_clip.OPENAI_DATASET_MEAN,
        getattr(model.visual, "image_std", None) or open_clip.OPENAI_DATASET_STD,
    )


def tokenised(tokenizer: Callable[[list[str]], Tensor], prompts: Prompts) -> Tensor:
    """Return tokens [C, P, L]; classes with fewer prompts than others say them again."""
    most = max(len(own) for own in prompts)
    return torch.stack([tokenizer(list(islice(cycle(own), most))) for own in prompts])


def clip_sha256(spec: str, guide: ClipGuide) -> str:
    """Return the SHA-256 of the file that a CLIP was loaded from, else of its weights.

    Args:
        spec: ``ARCH:FILE`` or ``ARCH:TAG``; or another name.
        guide: the loaded CLIP.
    """
    source = Path(spec.partition(":")[2])
    return sha256_of(source) if source.is_file() else sha256_of_weights(guide.model)


def _from_file(arch: str, source: str, quick_gelu: bool) -> Any:
    import open_clip

    weights = load_weights(Path(source))
    weights = {name.removeprefix("module."): value for name, value in weights.items()}
    model = open_clip.create_model(arch, pretrained=None, force_quick_gelu=quick_gelu)
    load_strictly(model, weights, source)
    return model


def _from_tag(arch: str, tag: str, remedy: str) -> Any:
    import open_clip

    if tag not in open_clip.list_pretrained_tags_by_model(arch):
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(arch)) or "none"
        raise UserError(f"clip: {arch} has no tag {tag!r} (it has: {tags}); {remedy}")
    try:
        return open_clip.create_model(arch, pretrained=tag)
    except Exception as error:  # the hub client raises many kinds when there is no network
        raise UserError(
            f"clip: the weights {arch}:{tag} are not cached and could not be fetched "
            f"({type(error).__name__}); {remedy}"
        ) from None
