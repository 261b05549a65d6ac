"""CLIP's zero-shot row of a comparison: the same test images and metrics, no training."""

import pytest
import torch
from clip_support import write_small_clip
from tests_support import QUICK, in_process

from classify.cli.main import main
from classify.comparison.compare import ComparisonPlan, compare, planned_trainings
from classify.comparison.zero_shot import zero_shot_record
from classify.training.layout import CHECKPOINT
from classify.training.recipes import check_recipes
from classify.training.settings import TrainSettings
from tgn.data.images import to_pm1
from tgn.models.zero_shot import load_zero_shot_of
from tgn.runtime.errors import UserError
from tgn.runtime.files import read_json
from tgn.runtime.progress import Silent

SMALL = {**QUICK, "arch": "tiny", "size": 32, "steps": 4}


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> str:
    return write_small_clip(tmp_path_factory.mktemp("clip"))


def test_zero_shot_is_the_class_of_the_nearest_prompts(fake_run, clip):
    plan = ComparisonPlan(("ce", "clip-zero-shot"), 2, fake_run.generated, clip=clip)
    table = compare(fake_run, plan, TrainSettings(**SMALL), Silent())
    guide, test = (
        load_zero_shot_of(fake_run, clip).guide,
        fake_run.split().image_set("test", fake_run.path, 224, 3),
    )
    cosines = guide(to_pm1(test.batch(torch.arange(len(test)))))
    hits = (cosines.argmax(1) == test.labels).double()
    recalls = [float(hits[test.labels == k].mean()) for k in range(4)]
    row = table["recipes"]["clip-zero-shot"]
    assert row["balanced"]["mean"] == pytest.approx(sum(recalls) / 4)
    assert row["balanced"]["half_width"] == 0  # no randomness in it
    assert row.keys() == table["recipes"]["ce"].keys()
    found = [entry["accuracy"] for entry in table["per_class"]["clip-zero-shot"]]
    assert found == pytest.approx(recalls)
    directory = fake_run.comparison / "clip-zero-shot-seed0"
    assert not (directory / CHECKPOINT).exists()
    assert read_json(directory / "metrics.json")["network"]["seen"] == "not trained on these images"


def test_prompts_of_the_user_are_part_of_the_record(fake_run, clip):
    before = zero_shot_record(fake_run, clip)
    assert before == zero_shot_record(fake_run, clip)
    folder = fake_run.split().classes[0].folder
    fake_run.prompts_file.write_text(f"{folder}:\n  - red squares on sand\n")
    assert zero_shot_record(fake_run, clip) != before


@pytest.mark.parametrize(
    ("recipes", "given", "message"),
    [
        (("clip-zero-shot",), None, "recipe clip-zero-shot got no CLIP; add --set clip=ARCH"),
        (("ce",), "ViT-B-32:/x", "clip got no recipe that uses it; add clip-zero-shot"),
    ],
)
def test_clip_without_recipe_and_recipe_without_clip_are_refused(fake_run, recipes, given, message):
    plan = ComparisonPlan(recipes, 1, fake_run.generated, clip=given)
    with pytest.raises(UserError, match=message):
        planned_trainings(fake_run, plan, TrainSettings())


def test_generated_images_are_no_part_of_zero_shot():
    with pytest.raises(UserError, match="valid: .*clip-zero-shot"):
        check_recipes(["clip-zero-shot+generated"])


def test_the_command_takes_the_clip(fake_run, clip, monkeypatch, capsys):
    classify = in_process(main, monkeypatch, capsys)
    words = ("--run", "fake", "--seeds", "1", "--device", "cpu", "--set", f"clip={clip}")
    done = classify("compare", "--recipes", "clip-zero-shot,probe", *words)
    assert done.code == 0, done.stderr
    assert "clip-zero-shot" in done.stdout
    table = read_json(fake_run.comparison_file)
    assert list(table["against_first"]) == ["probe"]
