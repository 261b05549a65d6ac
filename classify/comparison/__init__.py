"""Many trainings: recipes against one another, and cross-validation."""
