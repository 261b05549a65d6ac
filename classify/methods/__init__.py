"""Methods of distillation and second stages, each from one paper in one file."""
