"""A tiny latent diffusion pipeline with random weights, and short calls that use it."""

import json
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from generation_support import generate_tail
from tests_support import QUICK
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from tgn.data.runs import Run
from tgn.generation.diffusion.pretrained.settings import (
    PretrainedSampleSettings,
    PretrainedTrainSettings,
)


def tiny_tokenizer(folder) -> CLIPTokenizer:
    """Every letter is a word."""
    letters = [*"abcdefghijklmnopqrstuvwxyz0123456789-"]
    words = [*letters, *(f"{x}</w>" for x in letters), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({word: k for k, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return CLIPTokenizer(
        str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=32
    )


def write_tiny_pipeline(folder: Path) -> str:
    """Write a tiny pipeline in the diffusers format; return its folder."""
    torch.manual_seed(0)
    tokenizer = tiny_tokenizer(folder)
    text = CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=16, num_hidden_layers=1,
        num_attention_heads=2, max_position_embeddings=32, projection_dim=16,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    unet = UNet2DConditionModel(
        sample_size=16, in_channels=4, out_channels=4, block_out_channels=(8, 16),
        layers_per_block=1, down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), cross_attention_dim=16,
        attention_head_dim=4, norm_num_groups=4,
    )  # fmt: skip
    vae = AutoencoderKL(
        block_out_channels=(8, 8), down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2, latent_channels=4, norm_num_groups=4,
    )  # fmt: skip
    pipeline = StableDiffusionPipeline(
        vae=vae, text_encoder=CLIPTextModel(text), tokenizer=tokenizer, unet=unet,
        scheduler=DDIMScheduler(steps_offset=1, clip_sample=False), safety_checker=None,
        feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip
    pipeline.save_pretrained(folder / "model", safe_serialization=True)
    return str(folder / "model")


def tuning_settings(model: str, **changes) -> PretrainedTrainSettings:
    """Return settings of a training of three steps."""
    small = {"model": model, "steps": 3, "batch_size": 2, "log_every": 1}
    if changes.get("tuning") == "lora":
        small["rank"] = 2
    return PretrainedTrainSettings.model_validate({**QUICK, **small, **changes})


def generate_pretrained(run: Run, out: Path, n: int, classes=None, **changes) -> dict[str, int]:
    """Generate ``n`` images of tail classes in four steps."""
    small = {"n": n, "block": 2, "sampling_steps": 4}
    chosen = PretrainedSampleSettings.model_validate({**QUICK, **small, **changes})
    return generate_tail(run, out, chosen, classes)
