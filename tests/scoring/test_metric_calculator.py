import torch

from tgn.metrics.pair_diversity import feature_pair_distances
from tgn.runtime.files import read_json, write_json
from tgn.runtime.seeds import generator
from tgn.scoring.metric_calculator import MetricCalculator


def test_the_ratio_to_two_real_images_has_no_upper_end(tmp_path):
    many, two = (torch.randn(n, 4, generator=generator("ratio", n)) for n in (40, 2))
    pairs = [feature_pair_distances(table, seed=0) for table in (many, two)]
    score = MetricCalculator(seed=0).diversity(*pairs)
    assert score.ratio_low is not None  # every second resample of two images has one of them only
    assert score.ratio_high is None
    write_json(tmp_path / "score.json", score.model_dump(mode="json"))
    assert read_json(tmp_path / "score.json")["ratio_high"] is None
