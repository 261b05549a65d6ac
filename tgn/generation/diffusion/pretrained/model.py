"""A pretrained pipeline, tuned or not, and the record that names it."""

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

import torch
from diffusers import DPMSolverMultistepScheduler, StableDiffusionImg2ImgPipeline
from peft import LoraConfig, get_peft_model_state_dict, set_peft_model_state_dict
from torch import nn

from tgn.data.run_layout import RunLayout
from tgn.data.split import Split
from tgn.generation.diffusion.pretrained.learned_words import LearnedWords, add_words
from tgn.runtime.checkpoints import load_weights, save_weights
from tgn.runtime.errors import NotFoundError, UserError
from tgn.runtime.explanations import content_of
from tgn.runtime.files import read_json, sha256_of, write_json

LORA = "lora.safetensors"
WORDS = "words.safetensors"
LORA_LAYERS = ["to_q", "to_k", "to_v", "to_out.0"]  # projections of attention


class PretrainedModelRecord(NamedTuple):
    """The pretrained model of a run."""

    model: str  # name or folder
    size: int  # side of images in pixels
    unet_sha256: str  # of the pretrained denoiser's weights
    tail_net_sha256: str  # of the feature bank that names the source images
    rank: int = 0  # of the LoRA; 0: none
    lora_sha256: str = ""
    classes: str = "tail"  # that it was tuned on: all or tail
    vectors: int = 0  # of textual inversion, a class; 0: none
    words_sha256: str = ""
    text_encoder_sha256: str = ""  # that the vectors were learned for


def train_command(record: PretrainedModelRecord | None = None) -> str:
    """Return the command that makes a record (default: of any model), for messages."""
    command = "tgn train --backend stable-diffusion --model"
    if record is None:
        return f"{command} DIR"
    tuning = f" --set tuning=lora --set rank={record.rank}" if record.rank else ""
    if record.vectors:
        tuning = f" --set tuning=textual-inversion --set vectors={record.vectors}"
    tuning += " --set classes=all" if tuning and record.classes == "all" else ""
    return f"{command} {record.model} --set size={record.size}{tuning}"


def load_pipeline(model: str, may_fetch: bool = True) -> Any:
    """Load a pretrained image-to-image pipeline; weights in safetensors only.

    No safety checker runs: it is trained on photographs and does not apply to aerial images.

    Args:
        model: name on the hub, or a folder in the diffusers format.
        may_fetch: whether a name that is not cached is fetched; not what a file names.

    Raises:
        UserError: if no model is named, or it is not there and cannot be fetched.
    """
    if not model:
        raise UserError(f"name a pretrained model: {train_command()}")
    try:
        pipeline = StableDiffusionImg2ImgPipeline.from_pretrained(
            model,
            use_safetensors=True,
            local_files_only=not may_fetch or Path(model).is_dir(),
            safety_checker=None,
            requires_safety_checker=False,
        )
    except (OSError, ValueError) as error:
        raise UserError(
            f"the model {model!r} cannot be loaded ({' '.join(str(error).split())[:160]}); give a "
            "folder in the diffusers format (--model DIR), or fetch it where there is a network: "
            f"hf download {model}"
        ) from None
    pipeline.scheduler = DPMSolverMultistepScheduler.from_config(pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)
    for part in (pipeline.unet, pipeline.vae, pipeline.text_encoder):
        part.eval().requires_grad_(False)
    return pipeline


def native_size(pipeline: Any) -> int:
    """Return the side in pixels at which a model was trained."""
    return int(pipeline.unet.config.sample_size * pipeline.vae_scale_factor)


def digest(net: nn.Module) -> str:
    """Return the SHA-256 over the names and values of a network's weights."""
    digest_of_all = hashlib.sha256()
    for name, value in sorted(net.state_dict().items()):
        digest_of_all.update(name.encode())
        digest_of_all.update(value.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest_of_all.hexdigest()


def add_lora(unet: Any, rank: int) -> list[nn.Parameter]:
    """Add LoRA (Hu et al. 2021, arXiv 2106.09685) to the attention; return its parameters."""
    config = LoraConfig(
        r=rank, lora_alpha=rank, init_lora_weights="gaussian", target_modules=LORA_LAYERS
    )
    unet.add_adapter(config)
    return [parameter for parameter in unet.parameters() if parameter.requires_grad]


def save_record(run: RunLayout, record: PretrainedModelRecord, pipeline: Any) -> None:
    """Write the LoRA or the learned words, if there are any, and then ``recipe.json``."""
    if record.rank:
        weights = get_peft_model_state_dict(pipeline.unet)
        save_weights(run.pretrained / LORA, {k: v.contiguous() for k, v in weights.items()})
        record = record._replace(lora_sha256=sha256_of(run.pretrained / LORA))
    if record.vectors:
        words: LearnedWords = pipeline.text_encoder.get_input_embeddings()
        save_weights(run.pretrained / WORDS, {"vectors": words.vectors.detach().contiguous()})
        record = record._replace(words_sha256=sha256_of(run.pretrained / WORDS))
    write_json(run.pretrained_record, record._asdict())


def read_record(run: RunLayout) -> PretrainedModelRecord:
    """Read what `save_record` wrote.

    Raises:
        NotFoundError: if there is none; says which command makes it.
    """
    path = run.pretrained_record
    if not path.is_file():
        raise NotFoundError(f"no pretrained model in {path}; make it with: {train_command()}")
    with content_of(path):
        return PretrainedModelRecord(**read_json(path))


def adapted_pipeline(run: RunLayout, record: PretrainedModelRecord, split: Split) -> Any:
    """Load the pipeline of a record with its LoRA or its learned words.

    Raises:
        UserError: if the weights of the model, of the LoRA or of the words have changed.
    """
    pipeline = load_pipeline(record.model, may_fetch=False)
    again = f"run {train_command(record)}"
    has_changed = digest(pipeline.unet) != record.unet_sha256
    if record.vectors:
        has_changed |= digest(pipeline.text_encoder) != record.text_encoder_sha256
    if has_changed:
        raise UserError(
            f"the model {record.model!r} has changed since tgn train; {again} --no-resume"
        )
    if record.rank:
        lora = _unchanged(run.pretrained / LORA, record.lora_sha256, again)
        add_lora(pipeline.unet, record.rank)
        set_peft_model_state_dict(pipeline.unet, load_weights(lora))
        pipeline.unet.eval().requires_grad_(False)
    if record.vectors:
        file = _unchanged(run.pretrained / WORDS, record.words_sha256, again)
        words = add_words(pipeline, split, record.vectors).requires_grad_(False)
        words.vectors.copy_(load_weights(file)["vectors"])
    return pipeline


def _unchanged(file: Path, sha256: str, again: str) -> Path:
    if not file.is_file() or sha256_of(file) != sha256:
        raise UserError(f"{file} is not what tgn train wrote; {again}")
    return file
