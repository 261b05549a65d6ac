"""Drawing with a pretrained latent diffusion model, from real images of the rare classes."""
