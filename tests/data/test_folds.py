from collections import Counter

from tgn.data.splits.folds import make_folds, read_folds, write_folds


def test_every_class_is_dealt_out_evenly(tmp_path):
    labels = [0] * 10 + [1] * 7 + [2]
    files = [f"{i}.png" for i in range(18)]
    folds = make_folds(files, labels, 4, seed=0)
    for label, most in ((0, 3), (1, 2), (2, 1)):
        own = [folds.fold_of[f] for f, k in zip(files, labels, strict=True) if k == label]
        counts = Counter(own)
        assert max(counts.values()) == most
        assert max(counts.values()) - min(counts[k] for k in range(4)) <= 1
    assert folds == make_folds(files, labels, 4, seed=0)
    assert folds != make_folds(files, labels, 4, seed=1)
    write_folds(tmp_path, folds)
    assert read_folds(tmp_path) == folds
