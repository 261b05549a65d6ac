"""A pretrained latent diffusion model, applied to real images of the tail classes."""
