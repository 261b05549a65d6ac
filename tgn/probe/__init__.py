"""Linear classifiers in closed form on the features of frozen, pretrained networks."""
