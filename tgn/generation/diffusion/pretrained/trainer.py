"""One step of tuning a pretrained model on the run's images by the denoising loss."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from diffusers import DDPMScheduler
from torch import Tensor, nn
from torch.nn import functional as F

from tgn.data.augmentation import SYMMETRIES, random_dihedral
from tgn.data.batches import BatchSampler, Prefetcher
from tgn.data.image_set import ImageSet
from tgn.data.images import to_pm1
from tgn.data.prompts import Prompts
from tgn.generation.diffusion.pretrained.settings import PretrainedTrainSettings
from tgn.runtime.devices import Device
from tgn.runtime.optimisation import optimise
from tgn.runtime.seeds import generator


class TuningBatch(NamedTuple):
    """One process's part of a step, as it is prepared on the CPU."""

    images_u8: Tensor  # [B, 3, H, W]
    prompts: list[str]
    codes: Tensor  # symmetry of each image, [B]
    timesteps: Tensor  # [B]
    noise: Tensor  # [B, latent channels, h, w]


class TuningTrainer:
    """Steps of LoRA, or of textual inversion; all classes are sampled equally often.

    Args:
        pipeline: with LoRA in its denoiser, or new words in its text encoder.
        parameters: of LoRA, or the vectors of the words.
        images: of the tail classes, or of all.
        prompts: of every class.
        settings: of the tuning.
        device: where to compute.
    """

    def __init__(
        self,
        pipeline: Any,
        parameters: list[nn.Parameter],
        images: ImageSet,
        prompts: Prompts,
        settings: PretrainedTrainSettings,
        device: Device,
    ) -> None:
        self.pipeline, self.parameters, self.images = pipeline, parameters, images
        self.prompts, self.settings, self.device = prompts, settings, device
        self.learns_words = settings.tuning == "textual-inversion"
        self.schedule: Any = DDPMScheduler.from_config(pipeline.scheduler.config)
        self.batch_sampler = BatchSampler(images.labels, settings.batch_size, 0, settings.seed)
        self.batches = Prefetcher(self._batch, settings.steps, in_thread=device.is_gpu)
        self.optimizer = torch.optim.AdamW(parameters, settings.lr)

    def train_step(self, step: int) -> Mapping[str, Tensor]:
        """Do step ``step``."""
        batch, target = self.batches(step), self.device.torch_device
        images = random_dihedral(to_pm1(self.device.put(batch.images_u8)), batch.codes.to(target))
        timesteps, noise = batch.timesteps.to(target), batch.noise.to(target)
        with self.device.autocast():
            with torch.no_grad():
                latents = self._latents(images)
            with torch.set_grad_enabled(self.learns_words):
                prompts = self._prompt_embeddings(batch.prompts)
            noisy = self.schedule.add_noise(latents, noise, timesteps)
            predicted = self.pipeline.unet.train()(noisy, timesteps, prompts).sample
        if self.schedule.config.prediction_type == "v_prediction":
            noise = self.schedule.get_velocity(latents, noise, timesteps)
        loss = F.mse_loss(predicted.float(), noise)
        optimise(loss, self.optimizer, self.device)
        return {"noise": loss.detach()}

    def _latents(self, images: Tensor) -> Tensor:
        vae = self.pipeline.vae
        return vae.encode(images).latent_dist.mode().float() * vae.config.scaling_factor

    def _prompt_embeddings(self, prompts: list[str]) -> Tensor:
        tokenizer = self.pipeline.tokenizer
        tokens = tokenizer(
            prompts,
            padding="max_length",
            max_length=tokenizer.model_max_length,
            truncation=True,
            return_tensors="pt",
        ).input_ids
        return self.pipeline.text_encoder(tokens.to(self.device.torch_device))[0]

    def _batch(self, step: int) -> TuningBatch:
        """Draw the global batch of a step and return this process's rows of it."""
        size, random = (
            self.settings.batch_size,
            generator(self.settings.seed, self.settings.tuning, step),
        )
        rows, unet = self.batch_sampler.rows(step), self.pipeline.unet.config
        side = self.images.size // self.pipeline.vae_scale_factor
        codes = torch.randint(SYMMETRIES, (size,), generator=random)
        num_timesteps = self.schedule.config.num_train_timesteps
        timesteps = torch.randint(num_timesteps, (size,), generator=random)
        shares = torch.rand(size, generator=random)
        noise = torch.randn(size, unet.in_channels, side, side, generator=random)
        own = self.device.own_rows(size)
        prompts = []
        for row, share in zip(rows[own].tolist(), shares[own].tolist(), strict=True):
            of_class = self.prompts[int(self.images.labels[row])]
            prompts.append(of_class[int(share * len(of_class))])
        images_u8 = self.images.batch(rows[own])
        return TuningBatch(images_u8, prompts, codes[own], timesteps[own], noise[own])

    def state_dict(self) -> dict[str, Any]:
        """Return what is tuned, and the optimiser."""
        return {"parameters": list(self.parameters), "optimizer": self.optimizer.state_dict()}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        for parameter, value in zip(self.parameters, state["parameters"], strict=True):
            parameter.copy_(value)
        self.optimizer.load_state_dict(state["optimizer"])
