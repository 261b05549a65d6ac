"""From a data folder to a split: layouts, archives, class profiles, folds."""
