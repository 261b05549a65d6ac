"""The page says where a result is of something else than the run has now, or is damaged."""

import re

import pytest
import torch
from report_support import fill, score_and_filter
from tests_support import copied_run, damage, write_generated

from tgn.data.made_from import SPLIT, made_from, notes_on_images
from tgn.data.manifest import active_rows, write_filtered
from tgn.data.split import read_split, write_split
from tgn.report.page import write_report
from tgn.runtime.checkpoints import save_weights
from tgn.runtime.files import read_json, write_json, write_text
from tgn.runtime.settings import LoopSettings

OLDER = "Of an older version: what it was made from is not recorded."


def warnings(run) -> list[str]:
    page = write_report(run).read_text(encoding="utf-8")
    return re.findall(r'<p class="warn">([^<]*)</p>', page)


def sign(run, path, *facts) -> None:
    write_json(path, {**read_json(path), "made_from": made_from(run, *facts)})


@pytest.fixture(scope="module")
def made_full(made_run, tmp_path_factory):
    """Make once what :func:`full` copies."""
    made = tmp_path_factory.mktemp("full")
    run = copied_run(made_run, made)
    fill(run)
    write_text(run.cdtg / "alarms.jsonl", "")
    score_and_filter(run)
    sign(run, run.comparison_file, "split", "images")
    sign(run, run.assessment_file, "split")
    sign(run, run.distill_accuracy, "split", "tail_net")
    return made


@pytest.fixture
def full(made_full, in_tmp):
    """A run with every result, each made from what is there."""
    return copied_run(made_full, in_tmp)


def test_nothing_is_said_of_what_fits(full):
    assert warnings(full) == []


def test_results_of_replaced_images_are_marked_and_head_no_page(full):
    write_generated(full, label=3, count=11)  # the filter goes: it was of other images
    assert warnings(full) == [
        "Made from other images than there are now: run classify compare again.",
        "Made from other images than there are now: run tgn score again.",
    ]
    page = write_report(full).read_text(encoding="utf-8")
    assert "Use &lt;script" not in page
    assert 'alt="nearest training image"' not in page
    assert "50.0 ± 1.0" in page


def test_results_of_another_split_are_marked(full):
    split = read_split(full.split_file)
    write_split(full.split_file, split.model_copy(update={"test": split.test[1:]}))
    found = warnings(full)
    assert len(found) == 5
    assert all("Made from another split than there is now" in text for text in found)


def test_names_of_classes_may_change(full):
    split = read_split(full.split_file)
    renamed = [entry.model_copy(update={"name": "other"}) for entry in split.classes]
    write_split(full.split_file, split.model_copy(update={"classes": tuple(renamed)}))
    assert warnings(full) == []


def test_a_choice_by_hand_after_a_filter_is_said(full):
    kept = list(active_rows(full.generated, full.split()))
    write_filtered(full.generated, kept[1:])
    assert any(text.startswith("It kept 10 images; others were kept") for text in warnings(full))


def test_results_of_another_tail_net_are_marked(full):
    full.tail_net.write_bytes(b"another")
    found = warnings(full)
    again = "Made from another tail net than there is now: run tgn"
    assert found == [f"{again} score again.", f"{again} distill --no-resume again."]


def test_images_of_another_generator_are_marked(full):
    save_weights(full.cdtg_generator, {"another": torch.zeros(9)})
    assert any(text.startswith("10 of 10 images were made by another") for text in warnings(full))
    assert "10 of 10" in notes_on_images(full, full.generated)[0]


def test_a_damaged_generator_is_not_taken_for_another(full):
    save_weights(full.cdtg_generator, {"another": torch.zeros(9)})
    damage(full.cdtg_generator, "last bit")
    (note,) = notes_on_images(full, full.generated)
    assert "generator.safetensors is damaged" in note
    assert not any("another generator" in text for text in warnings(full))


def test_a_training_that_has_not_come_to_its_end_is_said(full):
    full.record("train", LoopSettings(steps=5), backend="cdtg", split="another")
    found = warnings(full)
    assert any(one.startswith("Made from another split than there is now") for one in found)
    assert any(one.startswith("Not trained to its end: 2 of 5 steps") for one in found)


def test_results_of_older_versions_are_shown_as_such(full):
    for path in (full.comparison_file, full.assessment_file, full.distill_accuracy):
        content = read_json(path)
        del content["made_from"]
        write_json(path, content)
    assert warnings(full) == [OLDER] * 3
    assert "<p><strong>Use " in write_report(full).read_text(encoding="utf-8")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"recipes": 3}', "\udcff\0"])
def test_damaged_results_do_not_stop_the_page(full, content):
    files = {
        "compare.json": "classify compare",
        "assess.json": "tgn assess",
        "kmdn/accuracy.json": "tgn distill --no-resume",
        "generated/filter.json": "tgn filter",
    }
    manifest = "generated/manifest.filtered.jsonl"
    for name in (*files, "train.yaml", manifest):
        line = content + "\n" * name.endswith(".jsonl")
        (full.path / name).write_bytes(line.encode("utf-8", "surrogateescape"))
    (full.kmdn / "metrics.jsonl").write_text("{\n")
    page = write_report(full).read_text(encoding="utf-8")
    for name, command in files.items():
        said = f'<p class="warn">[^<]*{name}[^<]*; make it anew with: {command}.</p>'
        assert re.search(said, page), name
    for name in ("train.yaml", manifest):
        assert f'<p class="warn">{name} is' in page
    assert "kmdn/metrics.jsonl is damaged: 1 of its lines" in page


def test_a_damaged_score_does_not_stop_the_page(full):
    file = full.scores / "generated-tail.json"
    nearest = file.with_suffix(".nearest.json")
    write_text(nearest, '{"a": {}}')
    assert "is damaged" in warnings(full)[0]
    write_json(file, {**read_json(file), "summary": 3})
    assert "scores/generated-tail.json is damaged" in warnings(full)[0]


def test_the_split_of_a_run_decides_by_its_content(full):
    before = made_from(full, SPLIT)
    write_text(full.split_file, full.split_file.read_text(encoding="utf-8") + "\n")
    assert made_from(full, SPLIT) == before
