"""Image classifiers with a tap after their third stage, from timm, and their checkpoint file."""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tgn.models.settings import BackboneSettings
from tgn.runtime.checkpoints import load_strictly, load_weights, read_metadata, save_weights
from tgn.runtime.errors import UserError

FORMAT = "tgn-classifier-1"
SMALL_STEM_MAX_SIZE = 64


@dataclass(frozen=True)
class ClassifierFacts:
    """What a checkpoint must say for its network to be built again."""

    arch: str
    size: int
    bands: int
    small_stem: bool
    folders: tuple[str, ...]  # class folders in the order of the logits
    mean: tuple[float, ...]  # of pixels in [0, 1], as the weights expect
    std: tuple[float, ...]
    cosine_scale: float = 0.0  # > 0: logits are this times the cosine of embedding and weight


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
        self.net: Any = _create(facts)
        if facts.cosine_scale:
            size = self.embedding_size
            self.replace_classifier(CosineLinear(size, len(facts.folders), facts.cosine_scale))
        self.stages = len(self.net.feature_info)
        if self.stages < 2:
            raise UserError(f"{facts.arch} has no stages to tap; choose e.g. tiny, resnet18")
        shape = (1, facts.bands, 1, 1)
        self.register_buffer("mean", torch.tensor(facts.mean).view(shape), persistent=False)
        self.register_buffer("std", torch.tensor(facts.std).view(shape), persistent=False)

    @property
    def feature_channels(self) -> int:
        """D, channels of the tapped features."""
        return self.net.feature_info[self.stages - 2]["num_chs"]

    @property
    def classifier(self) -> Any:
        """The last layer, embeddings [B, E] -> logits [B, C]."""
        return self.net.get_classifier()

    def replace_classifier(self, layer: nn.Module) -> None:
        """Put another last layer in, embeddings [B, E] -> logits [B, C]."""
        old = self.classifier
        name = next(name for name, module in self.net.named_modules() if module is old)
        parent, _, last = name.rpartition(".")
        setattr(self.net.get_submodule(parent), last, layer)

    @property
    def embedding_size(self) -> int:
        """E, numbers the classifier reads."""
        return int(self.classifier.in_features)

    def forward(self, images_pm1: Tensor) -> Output:
        """Return logits, the features after stage 3 (the last but one) and the embedding."""
        last, stages = self._stages(images_pm1)
        embedding = self.net.forward_head(last, pre_logits=True)  # [B, E]
        return Output(self.classifier(embedding), stages[-1], embedding)

    def with_stages(self, images_pm1: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return logits and the features of every stage but the last, finest first."""
        last, stages = self._stages(images_pm1)
        return self.net.forward_head(last), stages  # [B, C], each [B, D_i, h_i, w_i]

    def _stages(self, images_pm1: Tensor) -> tuple[Tensor, list[Tensor]]:
        normalised = self._normalise(images_pm1)  # [B, bands, H, W]
        return self.net.forward_intermediates(normalised, indices=list(range(self.stages - 1)))

    def _normalise(self, images_pm1: Tensor) -> Tensor:
        return (images_pm1 * 0.5 + 0.5 - self.mean) / self.std


def build_backbone(
    settings: BackboneSettings, folders: tuple[str, ...], cosine_scale: float = 0.0
) -> TappedNet:
    """Build a network for the classes in ``folders``.

    Images of up to 64 px get a 3x3 stem of stride 1 without pooling where the network starts from
    random weights (He et al. 2016, section 4.2); others keep the stem and the normalisation
    that they know.

    Raises:
        UserError: unknown network; weights that do not fit in any entry but the classifier's.
    """
    pretrained = settings.weights is not None
    facts = ClassifierFacts(
        arch=settings.arch,
        size=settings.size,
        bands=settings.bands,
        small_stem=not pretrained and settings.size <= SMALL_STEM_MAX_SIZE,
        folders=folders,
        mean=(0.5,) * settings.bands,
        std=(0.5,) * settings.bands,
        cosine_scale=cosine_scale,
    )
    if not pretrained:
        return TappedNet(facts)
    net = TappedNet(replace(facts, **_as_trained(settings)))
    _load_all_but_classifier(net.net, _foreign_weights(settings), str(settings.weights))
    return net


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
    net = TappedNet(facts)
    load_strictly(net.net, load_weights(path), str(path))
    return freeze(net)


def read_facts(path: Path) -> ClassifierFacts | None:
    """Return what a file of weights says of its network, or None if it is not one of ours."""
    metadata = read_metadata(path) if path.suffix == ".safetensors" else {}
    if metadata.get("format") != FORMAT:
        return None
    facts = json.loads(metadata["facts"])
    tuples = {key: tuple(facts[key]) for key in ("folders", "mean", "std")}
    return ClassifierFacts(**{**facts, **tuples})


def freeze(net: TappedNet) -> TappedNet:
    """Put a network into eval mode and switch its gradients off."""
    return net.eval().requires_grad_(False)


def _create(facts: ClassifierFacts) -> Any:
    import timm  # seconds to import: --help must not wait for it
    from timm.models.resnet import BasicBlock, ResNet

    classes = len(facts.folders)
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
            net = timm.create_model(facts.arch, num_classes=classes, in_chans=facts.bands)
        except RuntimeError as error:
            close = ", ".join(timm.list_models(f"*{facts.arch[:6]}*")[:8]) or "resnet18, resnet50"
            raise UserError(f"unknown arch {facts.arch!r} ({error}); e.g. {close}") from None
    if not hasattr(net, "forward_intermediates") or not hasattr(net, "feature_info"):
        raise UserError(f"{facts.arch} gives no intermediate features; use e.g. resnet18")
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


def _as_trained(settings: BackboneSettings) -> dict[str, Any]:
    """Return mean, std and stem that the weights were trained with: our own files', or timm's."""
    import timm

    file = Path(str(settings.weights))
    known = read_facts(file) if settings.weights != "pretrained" else None
    if known is not None and known.bands != settings.bands:
        raise UserError(
            f"{file} sees {known.bands} bands; expected {settings.bands}, as bands= says"
        )
    if known is not None:
        return {"mean": known.mean, "std": known.std, "small_stem": known.small_stem}
    config = timm.get_pretrained_cfg(settings.arch) if settings.arch != "tiny" else None
    if config is None or settings.bands != 3:
        return {}
    return {"mean": tuple(config.mean), "std": tuple(config.std)}


def _foreign_weights(settings: BackboneSettings) -> dict[str, Tensor]:
    import timm

    if settings.weights != "pretrained":
        return load_weights(Path(str(settings.weights)))
    try:
        net = timm.create_model(settings.arch, pretrained=True, in_chans=settings.bands)
    except Exception as error:  # the hub client raises many kinds when there is no network
        raise UserError(
            f"pretrained weights of {settings.arch} could not be fetched "
            f"({type(error).__name__}); give a local file: --set weights=/path/to/file.safetensors"
        ) from None
    return net.state_dict()


def _load_all_but_classifier(net: Any, weights: dict[str, Tensor], source: str) -> None:
    """Load every entry but the last layer's, which belongs to other classes."""
    own = net.state_dict()
    head = net.pretrained_cfg.get("classifier", "fc") if hasattr(net, "pretrained_cfg") else "fc"
    is_head = {name for name in own if name.startswith(f"{head}.")}
    body = {k: v.float() if v.is_floating_point() else v for k, v in weights.items()}
    body = {name: value for name, value in body.items() if not name.startswith(f"{head}.")}
    load_strictly(net, body | {name: own[name] for name in is_head}, source)
