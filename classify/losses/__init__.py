"""Loss functions of classifiers: long-tailed labels, distillation, hashed features."""
