"""A pretrained latent diffusion model, run from image to image on the tail classes."""
