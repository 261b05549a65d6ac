"""Mutual distillation of a head-class net and a tail-class net (KMDN)."""
