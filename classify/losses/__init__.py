"""Losses of classifiers: functions of tensors, for labels and for teachers."""
