"""Image classifiers with a tap after their third stage, from timm, and their checkpoint file."""

import json
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from tgn.models.adapters import add_adapters
from tgn.models.classifier_facts import FORMAT, ClassifierFacts, read_facts
from tgn.models.classifier_layers import POOLED_STAGES, NormalisedLinear, pooled_parts
from tgn.models.foreign_weights import load_all, load_backbone
from tgn.models.initial_weights import read_initial_weights
from tgn.models.pretrained import IMAGENET, IMAGENET_CLASSES, imagenet_weights
from tgn.models.settings import FROM_SCRATCH, PACKAGED, BackboneSettings, is_of_a_hub
from tgn.models.vision_transformers import check_patches, fitted_weights, transformer_options
from tgn.runtime.checkpoints import load_weights, save_weights
from tgn.runtime.errors import UserError
from tgn.runtime.rebuilt import rebuilt

SMALL_STEM_MAX_SIZE = 64


class Output(NamedTuple):
    """What a network says of a batch."""

    logits: Tensor  # [B, C]
    features: Tensor  # after stage 3, [B, D, h, w]
    embedding: Tensor  # what the classifier reads, [B, E]


class CosineLinear(nn.Module):
    """A classifier without lengths: scale times the cosine of embedding and class weight.

    Source: LDAM (Cao et al. 2019, arXiv 1906.07413), section 3.2, which needs margins to mean the
    same for every class.

    Args:
        in_features: E.
        out_features: C.
        scale: s > 0.
    """

    def __init__(self, in_features: int, out_features: int, scale: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out_features, in_features))
        nn.init.xavier_uniform_(self.weight)
        self.in_features, self.scale = in_features, scale

    def forward(self, embedding: Tensor) -> Tensor:
        """[B, E] -> logits [B, C] in [-scale, scale]."""
        return self.scale * F.linear(F.normalize(embedding), F.normalize(self.weight))


class TappedNet(nn.Module):
    """A timm network that takes images_pm1 and returns logits together with stage-3 features."""

    mean: Tensor
    std: Tensor

    def __init__(self, facts: ClassifierFacts) -> None:
        super().__init__()
        self.facts = facts
        self.in_float32 = False  # whatever autocast says; Device decides
        self.net: Any = _create(facts)
        if facts.adapter_size:
            add_adapters(self.net, facts.adapter_size, facts.arch)
        if facts.cosine_scale:
            size = self.embedding_size
            self.replace_classifier(CosineLinear(size, len(facts.folders), facts.cosine_scale))
        if facts.probe_parts:
            self._check_parts()
            self.replace_classifier(NormalisedLinear(facts.probe_parts, len(facts.folders)))
        self.stages = len(self.net.feature_info)
        if self.stages < 2:
            raise UserError(f"{facts.arch} has no stages to tap; choose e.g. tiny, resnet18")
        shape = (1, facts.bands, 1, 1)
        self.register_buffer("mean", torch.tensor(facts.mean).view(shape), persistent=False)
        self.register_buffer("std", torch.tensor(facts.std).view(shape), persistent=False)

    def _check_parts(self) -> None:
        """Check that a probe reads what the network gives: its embedding and two stages, twice."""
        stages = self.stage_channels[:-1][-POOLED_STAGES:]
        expected = (self.embedding_size, *(width for width in stages for _ in range(2)))
        if self.facts.probe_parts != expected:
            raise UserError(
                f"probe_parts got {self.facts.probe_parts}, but {self.facts.arch} gives {expected}"
            )

    def adapt(self, size: int) -> None:
        """Put adapters of a width into every block; they change nothing before they are trained.

        Raises:
            UserError: if the network has no transformer blocks.
        """
        add_adapters(self.net, size, self.facts.arch)
        self.facts = replace(self.facts, adapter_size=size)

    @property
    def feature_channels(self) -> int:
        """D, channels of the tapped features."""
        return self.stage_channels[self.stages - 2]

    @property
    def stage_channels(self) -> list[int]:
        """D_i, channels of every stage, finest first."""
        return [int(stage["num_chs"]) for stage in self.net.feature_info]

    @property
    def classifier(self) -> Any:
        """The last layer, embeddings [B, E] -> logits [B, C]."""
        return self.net.get_classifier()

    @property
    def classifier_name(self) -> str:
        """Where the last layer stands in the network."""
        last = self.classifier
        return next(name for name, module in self.net.named_modules() if module is last)

    def replace_classifier(self, layer: nn.Module) -> None:
        """Put another last layer in, embeddings [B, E] -> logits [B, C]."""
        parent, _, last = self.classifier_name.rpartition(".")
        setattr(self.net.get_submodule(parent), last, layer)

    @property
    def embedding_size(self) -> int:
        """E, numbers the classifier reads."""
        return int(self.classifier.in_features)

    def forward(self, images_pm1: Tensor) -> Output:
        """Return logits, the features after stage 3 (the last but one) and the embedding."""
        with self._precision(images_pm1):
            last, stages = self._stages(images_pm1)
            embedding = self._embedding(last, stages)  # [B, E]
            return Output(self.classifier(embedding), stages[-1], embedding)

    def with_stages(self, images_pm1: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return logits and the features of every stage but the last, finest first."""
        with self._precision(images_pm1):
            last, stages = self._stages(images_pm1)
            logits = self.classifier(self._embedding(last, stages))
            return logits, stages  # [B, C], each [B, D_i, h_i, w_i]

    def first_stages(self, images_pm1: Tensor, count: int) -> list[Tensor]:
        """Return the features of the first stages, finest first; the others are not computed."""
        with self._precision(images_pm1):
            stages: list[Tensor] = self.net.forward_intermediates(
                self._normalise(images_pm1),
                indices=list(range(count)),
                stop_early=True,
                intermediates_only=True,
            )
            return stages

    def pooled(self, images_pm1: Tensor) -> list[Tensor]:
        """Return the parts that a probe reads: the embedding and pooled stages."""
        with self._precision(images_pm1):
            last, stages = self._stages(images_pm1)
            return pooled_parts(self.net.forward_head(last, pre_logits=True), stages)

    def _embedding(self, last: Tensor, stages: list[Tensor]) -> Tensor:
        embedding = self.net.forward_head(last, pre_logits=True)
        if not self.facts.probe_parts:
            return embedding
        return torch.cat(pooled_parts(embedding, stages), dim=1)

    def _precision(self, images_pm1: Tensor) -> AbstractContextManager[Any]:
        if self.in_float32:
            return torch.autocast(images_pm1.device.type, enabled=False)
        return nullcontext()

    def _stages(self, images_pm1: Tensor) -> tuple[Tensor, list[Tensor]]:
        normalised = self._normalise(images_pm1)  # [B, bands, H, W]
        return self.net.forward_intermediates(normalised, indices=list(range(self.stages - 1)))

    def _normalise(self, images_pm1: Tensor) -> Tensor:
        if self.in_float32:
            images_pm1 = images_pm1.float()
        return (images_pm1 * 0.5 + 0.5 - self.mean) / self.std


def build_backbone(
    settings: BackboneSettings, folders: tuple[str, ...], cosine_scale: float = 0.0
) -> TappedNet:
    """Build a network for the classes in ``folders``.

    Images of up to 64 px get a 3x3 stem of stride 1 without pooling where the network starts from
    random weights (He et al. 2016, section 4.2); others keep the stem and the normalisation
    that they know.

    Raises:
        UserError: unknown network; weights that are not there or do not fit in any entry but the
            classifier's.
    """
    weights = settings.initial_weights
    facts = ClassifierFacts(
        arch=settings.arch,
        size=settings.size,
        bands=settings.bands,
        small_stem=weights == FROM_SCRATCH and settings.size <= SMALL_STEM_MAX_SIZE,
        folders=folders,
        mean=(0.5,) * settings.bands,
        std=(0.5,) * settings.bands,
        cosine_scale=cosine_scale,
    )
    if weights == FROM_SCRATCH:
        return TappedNet(facts)
    known = read_initial_weights(settings.arch, weights)
    net = TappedNet(replace(facts, **known.facts(settings.bands)))
    head = [f"{net.classifier_name}.{name}" for name in net.classifier.state_dict()]
    fitted = fitted_weights(net.net, known.weights, known.source)
    load_backbone(net.net, fitted, known.source, head, by_order=settings.arch in IMAGENET)
    return net


@cache
def has_batch_norms(arch: str) -> bool:
    """Return whether a network has batch normalisations; nothing is computed or loaded.

    Raises:
        UserError: for an unknown network.
    """
    size, bands = 224, 3  # of any: they change no layer's kind
    mean = (0.5,) * bands
    with torch.device("meta"):
        net = _create(ClassifierFacts(arch, size, bands, False, ("",), mean, mean))
    return any(isinstance(module, _BatchNorm) for module in net.modules())


def load_imagenet_backbone(arch: str, size: int | None = None, bands: int = 3) -> TappedNet:
    """Return a network with the ImageNet weights of an installed package, frozen, in eval mode.

    It takes images_pm1 [B, bands, H, W] of any size and normalises them as its weights expect;
    ``embedding`` of its output is what a probe reads, ``logits`` are of ImageNet's 1,000 classes.

    Args:
        arch: one of :data:`tgn.models.pretrained.IMAGENET`.
        size: side in pixels that its facts name; without, that of its training.
        bands: see :func:`tgn.models.foreign_weights.with_bands`.

    Raises:
        UserError: for an architecture without such weights, or a package that is not installed.
    """
    entry = imagenet_weights(arch)
    known = read_initial_weights(arch, PACKAGED)
    folders = tuple(map(str, range(IMAGENET_CLASSES)))
    half = (0.5,) * bands
    facts = ClassifierFacts(arch, size or entry.size, bands, False, folders, half, half)
    net = TappedNet(replace(facts, **known.facts(bands)))
    load_all(net.net, known.weights, known.source)
    return freeze(net)


def save_classifier(path: Path, net: TappedNet, **extra: str) -> None:
    """Write a network and its facts as one safetensors file."""
    metadata = {"format": FORMAT, "facts": json.dumps(asdict(net.facts)), **extra}
    save_weights(path, net.net.state_dict(), metadata)


def load_classifier(path: Path) -> TappedNet:
    """Read what :func:`save_classifier` wrote, in eval mode, without gradients.

    Raises:
        UserError: if the file is no classifier checkpoint or is incomplete.
    """
    facts = read_facts(path)
    if facts is None:
        raise UserError(f"{path} is no classifier checkpoint of this toolkit (classify train)")
    weights = load_weights(path)
    net = rebuilt(lambda: TappedNet(facts), weights, str(path), part=lambda net: net.net)
    return freeze(net)


def freeze(net: TappedNet) -> TappedNet:
    """Put a network into eval mode and switch its gradients off."""
    return net.eval().requires_grad_(False)


def _create(facts: ClassifierFacts) -> Any:
    import timm  # seconds to import: --help must not wait for it
    from timm.models.resnet import BasicBlock, ResNet

    classes, options = len(facts.folders), transformer_options(facts.arch, facts.size)
    if facts.arch == "tiny":
        net: Any = ResNet(
            BasicBlock,  # type: ignore[arg-type]  # timm's annotation lacks the `type[...]`
            layers=(1, 1, 1, 1),
            channels=(32, 64, 128, 256),
            stem_type="deep",  # of which only the width, twice stem_width, stays at small sizes
            stem_width=16,
            num_classes=classes,
            in_chans=facts.bands,
        )
    else:
        try:
            if is_of_a_hub(facts.arch):
                raise RuntimeError("not a name of timm")
            net = timm.create_model(
                facts.arch, num_classes=classes, in_chans=facts.bands, **options
            )
        except RuntimeError as error:
            close = ", ".join(timm.list_models(f"*{facts.arch[:6]}*")[:8]) or "resnet18, resnet50"
            raise UserError(f"unknown arch {facts.arch!r} ({error}); e.g. {close}") from None
    if not hasattr(net, "forward_intermediates") or not hasattr(net, "feature_info"):
        raise UserError(f"{facts.arch} gives no intermediate features; use e.g. resnet18")
    if options:
        check_patches(net, facts.arch, facts.size)
    if facts.small_stem:
        _shrink_stem(net, facts.bands)
    return net


def _shrink_stem(net: Any, bands: int) -> None:
    """Replace the stride-4 stem of a ResNet; other families keep theirs."""
    from timm.models.resnet import ResNet

    if not isinstance(net, ResNet):
        return
    width = int(net.bn1.num_features)  # type: ignore[arg-type]
    stem = nn.Conv2d(bands, width, 3, stride=1, padding=1, bias=False)
    nn.init.kaiming_normal_(stem.weight, mode="fan_out", nonlinearity="relu")
    net.conv1, net.maxpool = stem, nn.Identity()  # type: ignore[assignment]
