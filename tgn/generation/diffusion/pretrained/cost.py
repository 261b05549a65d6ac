"""What memory a pretrained model needs, estimated from its configuration alone."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from huggingface_hub import try_to_load_from_cache
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel

from tgn.generation.diffusion.pretrained.settings import (
    PretrainedSampleSettings,
    PretrainedTrainSettings,
)
from tgn.runtime.devices import Device

GIB = 2**30
FLOAT32 = 4  # bytes; weights are kept so, whatever the precision of the passes
OPTIMIZER_COPIES = 3  # of each tuned weight: its gradient and AdamW's two moments
# Beside what modules return: operands of the functions between them, kept for the backward pass.
KEPT_FACTOR = 2
# Tensors of the largest layer that are there at a time: input, output, and work space of both.
ALIVE = 4
WHEN_TIME = "how long it takes is said after the first"


class _Networks(NamedTuple):
    """The networks of a pipeline without their weights."""

    unet: Any
    vae: Any
    text_encoder: Any

    def bytes_of_weights(self) -> int:
        """Bytes of all weights in float32."""
        return FLOAT32 * sum(weight.numel() for net in self for weight in net.parameters())


def training_cost(settings: PretrainedTrainSettings) -> str:
    """Return what memory a tuning takes, in words; "" where nothing is tuned.

    No weights are read, and nothing is fetched.
    """
    if settings.tuning == "none":
        return ""
    networks = _read_networks(settings.model)
    if networks is None:
        return _unknown(settings.model)
    side = _side(networks, settings.size)
    kept = KEPT_FACTOR * sum(_outputs(networks.unet, *_denoiser_inputs(networks, side)))
    fixed = networks.bytes_of_weights()
    fixed += OPTIMIZER_COPIES * FLOAT32 * _tuned_weights(networks, settings)
    working = settings.batch_size * _bytes_a_number(settings) * kept
    what = f"{settings.batch_size} images a step at {side} px"
    return f"{_in_words(fixed, working, what)}; {WHEN_TIME} steps"


def sampling_cost(settings: PretrainedSampleSettings, model: str, size: int) -> str:
    """Return what memory generating with a model takes, in words.

    Args:
        settings: of the sampling.
        model: name on the hub, or a folder.
        size: side of the images in pixels.
    """
    networks = _read_networks(model)
    if networks is None:
        return _unknown(model)
    latents = _latents(networks, size)
    largest = max(_outputs(networks.vae, latents, call=networks.vae.decode))
    working = ALIVE * settings.block * _bytes_a_number(settings) * largest
    what = f"{settings.block} images at once at {size} px"
    return f"{_in_words(networks.bytes_of_weights(), working, what)}; {WHEN_TIME} block"


def _read_networks(model: str) -> _Networks | None:
    """Build the networks from configurations that are there; None if they are not."""
    folder = _folder(model)
    if folder is None:
        return None
    unet_class: Any = UNet2DConditionModel
    vae_class: Any = AutoencoderKL
    try:
        unet, vae = (
            one.load_config(folder / part)
            for one, part in ((unet_class, "unet"), (vae_class, "vae"))
        )
        text = CLIPTextConfig.from_pretrained(folder / "text_encoder")
    except (OSError, ValueError):
        return None
    with torch.device("meta"):
        return _Networks(
            unet_class.from_config(unet), vae_class.from_config(vae), CLIPTextModel(text)
        )


def _folder(model: str) -> Path | None:
    """Return where the files of a model are, of one on the hub in the cache; None if nowhere."""
    if Path(model).is_dir():
        return Path(model)
    try:
        found = try_to_load_from_cache(model, "unet/config.json")
    except ValueError:  # no name of the hub
        return None
    return Path(found).parents[1] if isinstance(found, str) else None


def _tuned_weights(networks: _Networks, settings: PretrainedTrainSettings) -> int:
    """Return about how many numbers are tuned; words of a few classes weigh nothing."""
    if settings.tuning == "textual-inversion":
        return 0
    from tgn.generation.diffusion.pretrained.model import add_lora

    with torch.device("meta"):
        return sum(weight.numel() for weight in add_lora(networks.unet, settings.rank))


def _denoiser_inputs(networks: _Networks, side: int) -> tuple[Tensor, Tensor, Tensor]:
    text = networks.text_encoder.config
    prompt = torch.empty(1, text.max_position_embeddings, text.hidden_size, device="meta")
    return _latents(networks, side), torch.empty(1, device="meta"), prompt


def _latents(networks: _Networks, side: int) -> Tensor:
    height = side // _scale(networks)
    return torch.empty(1, networks.vae.config.latent_channels, height, height, device="meta")


def _scale(networks: _Networks) -> int:
    return int(2 ** (len(networks.vae.config.block_out_channels) - 1))


def _side(networks: _Networks, size: int | None) -> int:
    return size or int(networks.unet.config.sample_size * _scale(networks))


@torch.no_grad()
def _outputs(net: nn.Module, *inputs: Tensor, call: Callable[..., Any] | None = None) -> list[int]:
    """Return how many numbers each innermost module returns in a pass without arithmetic."""
    counts: list[int] = []

    def note(_: nn.Module, __: Any, output: Any) -> None:
        if isinstance(output, Tensor):
            counts.append(output.numel())

    hooks = [
        module.register_forward_hook(note)
        for module in net.modules()
        if next(module.children(), None) is None
    ]
    with torch.device("meta"):
        (call or net)(*inputs)
    for hook in hooks:
        hook.remove()
    return counts


def _bytes_a_number(settings: PretrainedTrainSettings | PretrainedSampleSettings) -> int:
    return 2 if Device(settings).precision == "bf16" else FLOAT32


def _in_words(weights: int, working: int, what: str) -> str:
    total, fixed, rest = (_gib(one) for one in (weights + working, weights, working))
    return f"memory: about {total} GiB ({fixed} for the weights in float32, {rest} for {what})"


def _gib(count: int) -> str:
    return f"{count / GIB:.0f}" if count >= 10 * GIB else f"{count / GIB:.2g}"


def _unknown(model: str) -> str:
    return (
        f"memory: known once the configuration of {model!r} is here (hf download {model}); "
        f"{WHEN_TIME} steps or block"
    )
