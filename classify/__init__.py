"""Train and compare classifiers on real and generated images of a run."""
