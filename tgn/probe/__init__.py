"""Linear classifiers on the features of frozen, pretrained networks."""
