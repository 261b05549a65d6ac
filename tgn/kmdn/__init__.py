"""KMDN, the mutual distillation of a head-class net and a tail-class net, and the feature bank."""
