"""Images of which each shows several classes or none: data, measures, training."""
