"""The learned latent space that generators work in: an autoencoder, trained once per run."""
