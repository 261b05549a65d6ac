"""Tuning of a pretrained denoiser on the tail images: LoRA, by its own loss."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from diffusers import DDPMScheduler
from torch import Tensor, nn
from torch.nn import functional as F

from tgn.data.augmentation import SYMMETRIES, random_dihedral
from tgn.data.batches import Ahead, BatchSampler
from tgn.data.image_set import ImageSet
from tgn.data.images import to_pm1
from tgn.data.prompts import Prompts
from tgn.generation.diffusion.pretrained.settings import StableSettings
from tgn.runtime.devices import Device
from tgn.runtime.seeds import generator


class Drawn(NamedTuple):
    """One process's part of a step, as it is drawn on the CPU."""

    images_u8: Tensor  # [B, 3, H, W]
    prompts: list[str]
    codes: Tensor  # symmetry of each image, [B]
    times: Tensor  # [B]
    noise: Tensor  # [B, latent channels, h, w]


class LoraTrainer:
    """Steps of LoRA on a pipeline's denoiser; classes are drawn alike.

    Args:
        pipeline: with LoRA in its denoiser.
        trained: the parameters of LoRA.
        images: of the tail classes.
        prompts: of every class.
        settings: of the tuning.
        device: where.
    """

    def __init__(
        self,
        pipeline: Any,
        trained: list[nn.Parameter],
        images: ImageSet,
        prompts: Prompts,
        settings: StableSettings,
        device: Device,
    ) -> None:
        self.pipeline, self.trained, self.images = pipeline, trained, images
        self.prompts, self.settings, self.device = prompts, settings, device
        self.schedule: Any = DDPMScheduler.from_config(pipeline.scheduler.config)
        self.sampler = BatchSampler(images.labels, settings.batch_size, True, settings.seed)
        self.drawn = Ahead(self._draw, settings.steps, in_thread=device.is_gpu)
        self.optimizer = torch.optim.AdamW(trained, settings.lr)

    def train_step(self, step: int) -> Mapping[str, Tensor]:
        """Do step ``step``."""
        drawn, target = self.drawn(step), self.device.torch_device
        images = random_dihedral(to_pm1(self.device.put(drawn.images_u8)), drawn.codes.to(target))
        times, noise = drawn.times.to(target), drawn.noise.to(target)
        with self.device.autocast():
            with torch.no_grad():
                latents = self._latents(images)
                said = self._said(drawn.prompts)
            noisy = self.schedule.add_noise(latents, noise, times)
            found = self.pipeline.unet.train()(noisy, times, said).sample
        if self.schedule.config.prediction_type == "v_prediction":
            noise = self.schedule.get_velocity(latents, noise, times)
        loss = F.mse_loss(found.float(), noise)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.device.average_gradients(self.trained)
        self.optimizer.step()
        return {"noise": loss.detach()}

    def _latents(self, images: Tensor) -> Tensor:
        vae = self.pipeline.vae
        return vae.encode(images).latent_dist.mode().float() * vae.config.scaling_factor

    def _said(self, prompts: list[str]) -> Tensor:
        tokenizer = self.pipeline.tokenizer
        tokens = tokenizer(
            prompts,
            padding="max_length",
            max_length=tokenizer.model_max_length,
            truncation=True,
            return_tensors="pt",
        ).input_ids
        return self.pipeline.text_encoder(tokens.to(self.device.torch_device))[0]

    def _draw(self, step: int) -> Drawn:
        """Draw the global batch of a step and return this process's rows of it."""
        size, draw = self.settings.batch_size, generator(self.settings.seed, "lora", step)
        rows, unet = self.sampler.rows(step), self.pipeline.unet.config
        side = self.images.size // self.pipeline.vae_scale_factor
        codes = torch.randint(SYMMETRIES, (size,), generator=draw)
        times = torch.randint(self.schedule.config.num_train_timesteps, (size,), generator=draw)
        chosen = torch.rand(size, generator=draw)
        noise = torch.randn(size, unet.in_channels, side, side, generator=draw)
        mine = self.device.mine(torch.arange(size))
        said = []
        for row, share in zip(rows[mine].tolist(), chosen[mine].tolist(), strict=True):
            own = self.prompts[int(self.images.labels[row])]
            said.append(own[int(share * len(own))])
        return Drawn(self.images.batch(rows[mine]), said, codes[mine], times[mine], noise[mine])

    def state_dict(self) -> dict[str, Any]:
        """Return LoRA and optimiser."""
        return {"lora": list(self.trained), "optimizer": self.optimizer.state_dict()}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a saved state."""
        for parameter, value in zip(self.trained, state["lora"], strict=True):
            parameter.copy_(value)
        self.optimizer.load_state_dict(state["optimizer"])
