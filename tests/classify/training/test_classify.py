"""Losses, mixing, training, comparing and the command line of classify."""

import json
import math

import pytest
import torch
from tests_support import TINY, Command, in_process, write_generated

from classify.cli import main as cli
from classify.comparison import sweep
from classify.comparison.compare import ComparisonPlan, compare
from classify.comparison.cross_validation import train_folds
from classify.comparison.formatting import interval
from classify.evaluation.evaluate import accuracy_report
from classify.losses.settings import LossSettings
from classify.methods.base import Method
from classify.training import train as train_module
from classify.training import trainer as trainer_module
from classify.training.class_frequencies import ClassFrequencies, GeneratedUse
from classify.training.criterion import LabelCriterion
from classify.training.job import TrainingJob, images_of
from classify.training.recipes import check_recipes
from classify.training.sampling import BatchRequest, ClassRows, MixtureSampler
from classify.training.settings import TrainSettings
from classify.training.train import train_classifier
from classify.training.trainer import ClassifierTrainer
from tgn.data.image_set import ImageSet
from tgn.data.manifest import read_manifest
from tgn.data.splits.folds import read_folds
from tgn.models.backbones import build_backbone, load_classifier
from tgn.runtime.checkpoints import load_state
from tgn.runtime.command_options import OF_THE_RUN, with_lone_option
from tgn.runtime.devices import Device
from tgn.runtime.errors import DataError, NotFoundError, UserError
from tgn.runtime.files import read_json, sha256_of
from tgn.runtime.progress import Silent
from tgn.runtime.training_loop import STATE


def settings(**changes: object) -> TrainSettings:
    base = {
        "arch": "tiny",
        "steps": 4,
        "batch_size": 16,
        "size": 16,
        "device": "cpu",
        "precision": "float32",
    }
    return TrainSettings.model_validate({**base, **changes})


def test_rows_are_picked_within_their_class():
    labels = torch.tensor([2, 0, 2, 1, 2])
    rows = ClassRows(labels, 4)
    wanted = torch.tensor([2, 2, 0, 1, 2])
    picked = rows.pick(wanted, torch.tensor([0.0, 0.999999, 0.5, 0.0, 0.5]))
    assert torch.equal(labels[picked], wanted)
    assert picked[:2].tolist() == [0, 4]


@pytest.fixture
def augmented(fake_run):
    """The fake run with 30 white generated images of its smallest class."""
    write_generated(fake_run, label=3, count=30)
    return fake_run


def sampler(run, sampling, share=0.5, folder=None):
    from tgn.data.manifest import active_rows, image_set

    split = run.split()
    real = split.image_set("train", run.path, 16)
    generated = image_set(folder, active_rows(folder, split), split, 16) if folder else None
    return MixtureSampler(real, generated, sampling, split.num_classes, GeneratedUse(share, 0.6))


def prior(sampler, progress=0.0):
    return sampler.frequencies.at(progress).classes


def test_generated_images_of_head_classes_take_places_of_real_ones():
    real, generated = torch.tensor([24, 12, 6, 4]), torch.tensor([30, 0, 0, 30])
    # The tail lacks 12, 18 and 20 images, 17 on average; 24 are real.
    expected = torch.tensor([17 / 41, 0, 0, 20 / 24]).double()
    found = ClassFrequencies(real, generated, "random", GeneratedUse(num_head=1))
    torch.testing.assert_close(found.share, expected)
    assert found.filled.tolist() == [24, 12, 6, 24]
    without = ClassFrequencies(real, generated, "random", GeneratedUse())
    torch.testing.assert_close(without.share, expected * torch.tensor([0, 1, 1, 1]))
    even = ClassFrequencies(real, generated, "class-balanced", GeneratedUse(num_head=1))
    assert even.share.tolist() == [0.5, 0, 0, 0.5]


def test_generated_images_fill_up_the_histogram_and_never_turn_it_over(augmented):
    mix = sampler(augmented, "random", 0.5, augmented.path / "generated")
    expected = torch.tensor([24, 12, 6, 24]).double()
    torch.testing.assert_close(prior(mix), expected / expected.sum())
    images, labels, *_ = mix.batch(BatchRequest(4000, 0, 1))
    white = (images == 255).flatten(1).all(1)
    assert white[labels == 3].float().mean() == pytest.approx(20 / 24, abs=0.05)
    even = prior(sampler(augmented, "class-balanced"))
    torch.testing.assert_close(even, torch.full((4,), 0.25).double())


@pytest.mark.parametrize("sampling", ["random", "square-root", "class-balanced", "progressive"])
def test_every_training_ends_as_one_without_generated_images(augmented, sampling):
    mix = sampler(augmented, sampling, 0.5, augmented.path / "generated")
    real = sampler(augmented, sampling)
    early, late = (BatchRequest(200, 0, 1, progress) for progress in (0.59, 0.6))
    assert mix.batch(early).is_generated.any()
    for found, expected in zip(mix.batch(late), real.batch(late), strict=True):
        assert found is None or torch.equal(torch.as_tensor(found), torch.as_tensor(expected))


def test_the_share_of_generated_images_is_kept_and_batches_repeat(augmented):
    mix = sampler(augmented, "class-balanced", 0.25, augmented.path / "generated")
    images, labels, is_generated, *_ = mix.batch(BatchRequest(4000, 0, 1))
    white = (images == 255).flatten(1).all(1)
    assert torch.equal(white, is_generated)
    assert set(labels[white].tolist()) == {3}
    assert white[labels == 3].float().mean() == pytest.approx(0.25, abs=0.05)
    again = mix.batch(BatchRequest(4000, 0, 1))
    assert torch.equal(again[0], images)
    assert torch.equal(again[1], labels)
    assert not torch.equal(mix.batch(BatchRequest(4000, 0, 2))[1], labels)


def test_square_root_and_progressive_sampling(fake_run):
    counts = torch.tensor([24.0, 12, 6, 4]).double()
    root = sampler(fake_run, "square-root")
    torch.testing.assert_close(prior(root), counts.sqrt() / counts.sqrt().sum())
    progressive = sampler(fake_run, "progressive")
    torch.testing.assert_close(prior(progressive, 0.0), counts / counts.sum())
    torch.testing.assert_close(prior(progressive, 1.0), torch.full((4,), 0.25).double())
    middle = (counts / counts.sum() + 0.25) / 2
    torch.testing.assert_close(prior(progressive, 0.5), middle)
    sampled = progressive.batch(BatchRequest(4000, 0, 1, progress=0.5))
    share = torch.bincount(sampled.labels, minlength=4) / 4000
    torch.testing.assert_close(share.double(), middle, atol=0.03, rtol=0)
    weighted = progressive.batch(
        BatchRequest(4000, 0, 1, class_weights=torch.tensor([0.0, 0, 0, 1]))
    )
    assert weighted.labels.eq(3).all()


@pytest.mark.parametrize("mixing", ["mixup", "cutmix", "cmo"])
def test_a_mixed_image_says_which_of_its_two_is_generated(augmented, mixing):
    chosen = settings(steps=100, mixing=mixing)
    mix = sampler(augmented, "class-balanced", 0.5, augmented.path / "generated")
    net = build_backbone(chosen, tuple(e.folder for e in augmented.split().classes))
    method = Method(net, LabelCriterion("ce", "none", LossSettings(), mix.counts))
    trainer = ClassifierTrainer(method, mix, chosen, Device(chosen))
    sampled = mix.batch(BatchRequest(64, 0, 1, foreground_power=1.0 if mixing == "cmo" else None))
    batch, partner = trainer._batch(sampled, 1, 0.0), trainer._blend(sampled, 1).partner
    assert torch.equal(batch.is_generated, sampled.is_generated[:64])
    assert torch.equal(batch.partner_is_generated, sampled.is_generated[partner])
    assert not torch.equal(batch.is_generated, batch.partner_is_generated)


def test_an_empty_generated_set_is_an_error(augmented):
    job = TrainingJob(augmented.path / "x", augmented.path / "generated")
    assert images_of(job, augmented, settings(generated_ratio=0.05)).num_generated == 1
    with pytest.raises(DataError, match="tgn generate"):
        images_of(job, augmented, settings(generated_ratio=0.01))


@pytest.mark.usefixtures("charts")
def test_training_beats_chance_and_writes_what_it_says(fake_run):
    folder = fake_run.path / "classify" / "ce"
    result = train_classifier(fake_run, TrainingJob(folder), settings(steps=60, lr=0.1), Silent())
    assert result["balanced"] > 0.5
    assert result["chosen"] == {"rule": "last step", "step": 60}
    assert result["n"] == len(fake_run.split().test)
    assert load_classifier(folder / "classifier.safetensors").facts.folders[0] == "square"
    assert (folder / "confusion.png").stat().st_size > 1000
    assert "NaN" not in (folder / "metrics.json").read_text()


def test_generated_and_test_images_are_apart(augmented, monkeypatch):
    seen = []
    real = ImageSet._decode

    def spy(self, rows):
        seen.append((id(self), [str(self.files[row]) for row in rows]))
        return real(self, rows)

    monkeypatch.setattr(ImageSet, "_decode", spy)
    job = TrainingJob(augmented.path / "classify" / "x", augmented.path / "generated")
    result = train_classifier(augmented, job, settings(), Silent())
    sets = [set(files) for _, files in seen]
    generated = {f for files in sets for f in files if "/generated/" in f}
    test = {f for files in sets for f in files if "/test/" in f}
    assert generated
    assert test
    assert not any(files & generated and files & test for files in sets)
    assert result["n"] == len(augmented.split().test)
    assert result["generated_images"] == 30


def test_resume_equals_one_go(fake_run):
    def weights(name: str, stop: int | None = None):
        job = TrainingJob(fake_run.path / "classify" / name)
        if stop:
            import classify.training.trainer as module

            original = module.ClassifierTrainer.train_step

            def stops(self, step):
                if step == stop:
                    raise KeyboardInterrupt
                return original(self, step)

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(module.ClassifierTrainer, "train_step", stops)
                with pytest.raises(KeyboardInterrupt):
                    train_classifier(fake_run, job, settings(), Silent())
            assert load_state(job.directory / STATE)["step"] == stop
        train_classifier(fake_run, job, settings(), Silent())
        return sha256_of(job.directory / "classifier.safetensors")

    assert weights("a") == weights("b", stop=2)


def test_validation_chooses_only_where_every_class_has_some(in_tmp, fake_folder):
    from tgn.data.splits.make_split import split_run
    from tgn.data.splits.settings import SplitSettings

    data = fake_folder({"a": 12, "b": 8})
    run, _ = split_run(data, "val", SplitSettings(val_fraction=0.25), Silent())
    result = train_classifier(
        run, TrainingJob(run.path / "c"), settings(num_validations=2), Silent()
    )
    assert result["chosen"]["rule"] == "last validation within one standard error of the best"
    assert result["chosen"]["step"] in (2, 4)


def test_a_later_validation_wins_unless_clearly_worse(fake_run, monkeypatch):
    split = fake_run.split()
    real = split.image_set("train", fake_run.path, 16)
    tables = {
        "good": torch.diag(torch.full((split.num_classes,), 90)),
        "a little worse": torch.diag(torch.full((split.num_classes,), 89)),
        "much worse": torch.diag(torch.full((split.num_classes,), 40)),
    }
    for table in tables.values():
        table[:, 0] += 100 - table.sum(1)
        table[0, 1] += 100 - table[0].sum()
    device = Device(settings())
    net = build_backbone(settings(), tuple(entry.folder for entry in split.classes))
    sampler = MixtureSampler(real, None, "random", split.num_classes)
    criterion = LabelCriterion("ce", "none", LossSettings(), sampler.counts)
    trainer = ClassifierTrainer(Method(net, criterion), sampler, settings(), device)
    kept = []
    for done, table in enumerate(tables.values(), start=1):
        monkeypatch.setattr(trainer_module, "confusion_matrix", lambda *_, table=table: table)
        trainer.validate(done, real, range(split.num_classes))
        kept.append(trainer.best["step"])
    assert kept == [1, 2, 2]


def test_report_groups():
    class Entry:
        def __init__(self, n):
            self.train, self.val, self.folder, self.name = n, 0, "f", "f"

    class FakeSplit:
        classes = [Entry(150), Entry(50), Entry(5)]
        num_head = 1

    confusion = torch.tensor([[8, 2, 0], [0, 5, 5], [0, 0, 0]])
    result = accuracy_report(confusion, FakeSplit())
    assert (result["many"], result["medium"], result["few"]) == (0.8, 0.5, None)
    assert result["per_class"][2]["accuracy"] is None
    assert json.dumps(result, allow_nan=False)


def test_comparison_is_paired_and_goes_on_after_a_kill(augmented, monkeypatch):
    plan = ComparisonPlan(("ce", "ce+generated"), 2, augmented.path / "generated")
    real, calls = sweep.train_classifier, []

    def counts(run, job, *rest):
        calls.append(job.directory.name)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(run, job, *rest)

    monkeypatch.setattr(sweep, "train_classifier", counts)
    with pytest.raises(KeyboardInterrupt):
        compare(augmented, plan, settings(steps=2), Silent())
    table = compare(augmented, plan, settings(steps=2), Silent())
    assert calls == ["ce-seed0", "ce-seed1", *["ce+generated-seed0"] * 2, "ce+generated-seed1"]
    ce, both = (table["recipes"][name]["tail"]["values"] for name in plan.recipes)
    assert table["gains"]["ce"]["tail"]["values"] == [b - a for a, b in zip(ce, both, strict=True)]
    compare(augmented, plan, settings(steps=3), Silent())
    assert len(calls) == 9  # other settings: all again
    assert read_json(augmented.path / "compare.json")["steps"] == 3


def test_intervals_are_students():
    found = interval([1.0, 2.0, 3.0])
    assert found["mean"] == 2.0
    assert found["half_width"] == pytest.approx(4.302653 / math.sqrt(3), rel=1e-5)
    assert interval([1.0])["half_width"] is None


def test_accuracy_score_recipes_learn_from_the_tail_only(augmented):
    split = augmented.split()
    tail = set(split.tail_classes)
    for images, from_generated in (("real-tail", False), ("generated-tail", True)):
        job = TrainingJob(augmented.path / "x", augmented.path / "generated", images=images)
        found = images_of(job, augmented, settings())
        assert set(found.main.labels.tolist()) <= tail
        assert found.mixed_in is None
        assert {"generated" in file.parts for file in found.main.files} == {from_generated}


def test_unknown_recipes_are_listed():
    with pytest.raises(
        UserError, match=r"valid: ce, lp-ft, probe, .*balanced, .*-only, each also as NAME\+gen"
    ):
        check_recipes(["ce", "best"])


def test_an_option_may_stand_alone_or_name_a_folder():
    def filled(*words):
        return with_lone_option(words, "--augmented", OF_THE_RUN)

    assert filled("train", "--augmented") == ["train", "--augmented", OF_THE_RUN]
    alone = filled("train", "--augmented", "--run", "a")
    assert alone == ["train", "--augmented", OF_THE_RUN, "--run", "a"]
    assert filled("train", "--augmented", "folder") == ["train", "--augmented", "folder"]


@pytest.fixture
def run_cli(monkeypatch, capsys) -> Command:
    return in_process(cli.main, monkeypatch, capsys)


def test_the_command_trains_evaluates_and_predicts(augmented, run_cli):
    small = [*TINY, "--set", "steps=2", "--set", "size=16", "--device", "cpu"]
    done = run_cli("train", "--augmented", *small)
    assert (done.code, "macro f1" in done.stdout) == (0, True), done.stderr
    assert (augmented.path / "classify" / "ce+generated" / "metrics.json").is_file()
    assert "square" in run_cli("evaluate").stdout
    image = next(augmented.path.glob("generated/*/*.png"))
    assert str(image) in run_cli("predict", str(image)).stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--augmented"], "tgn generate --class all"),
        (["train", "--set", "loss=best"], "loss"),
        (["train", "--set", "stepz=1"], "unknown setting 'stepz'"),
        (["evaluate"], "classify train"),
        (["train", "--run", "none"], "there are: fake"),
        (["compare", "--recipes", "best"], "valid: ce"),
        (["trane"], "trane"),
    ],
)
def test_mistakes_are_one_line_and_exit_2(fake_run, run_cli, arguments, message):
    done = run_cli(*arguments)
    assert done.code == 2, done.stderr
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stdout == ""


def test_a_dry_run_says_how_generated_images_would_be_used(augmented, run_cli):
    for sampling, share in (("class-balanced", 50), ("random", 83)):
        done = run_cli("train", "--augmented", *TINY, "--set", f"sampling={sampling}", "--dry-run")
        use = (
            f"of 1 classes, 30 to 30 each, have {share}% (cross) to {share}% (cross) of the places"
        )
        assert (done.code, use in done.stdout) == (0, True), done.stdout + done.stderr
    done = run_cli("compare", *TINY, "--recipes", "ce,ce+generated,probe+generated", "--dry-run")
    assert done.stdout.count("none more often than a real image") == 1, done.stdout + done.stderr
    assert "ce+generated: generated images of 1 classes" in done.stdout


def test_cross_validated_classifiers_see_no_generated_images(augmented, run_cli):
    done = run_cli("train", "--folds", "2", "--augmented")
    assert (done.code, "must not see" in done.stderr) == (2, True)


def test_a_manifest_cannot_lead_outside(fake_run):
    folder = write_generated(fake_run, label=3, count=1)
    path = folder / "manifest.jsonl"
    row = {**json.loads(path.read_text()), "file": "../../x.png"}
    del row["checksum"]  # as a received manifest may lack it
    path.write_text(json.dumps(row) + "\n")
    with pytest.raises(DataError, match="stays inside its folder.*see line 1"):
        list(read_manifest(folder))
    with pytest.raises(NotFoundError, match="tgn generate"):
        list(read_manifest(fake_run.path / "elsewhere"))


def test_a_fold_never_sees_its_own_part(fake_run, monkeypatch):
    split, seen = fake_run.split(), []
    plain = train_module.MixtureSampler

    def spy(real, *rest):
        seen.append({"/".join(path.parts[-3:]) for path in real.files})
        return plain(real, *rest)

    monkeypatch.setattr(train_module, "MixtureSampler", spy)
    folder = fake_run.path / "classify" / "folds"
    folds = train_folds(fake_run, TrainingJob(folder), 2, settings(steps=1), Silent())
    assert read_folds(folder) == folds
    for fold in range(2):
        own = {f for f, k in folds.fold_of.items() if k == fold}
        assert seen[fold] == {file for file, _ in split.train} - own
        assert load_classifier(folder / f"fold-{fold}" / "classifier.safetensors")
    assert set(folds.fold_of) == {file for file, _ in split.train}


def test_a_dry_run_of_a_comparison_finds_what_does_not_go_together(fake_run, run_cli):
    small = [*TINY, "--dry-run", "--recipes"]
    done = run_cli("compare", *small, "ce,ldam-drw", "--set", "label_smoothing=0.1")
    assert (done.code, "recipe ldam-drw: label_smoothing" in done.stderr) == (2, True), done.stderr
    done = run_cli("compare", *small, "ce,kmdn")
    assert (done.code, "recipe kmdn: --method kmdn found no" in done.stderr) == (2, True)
    done = run_cli("compare", *small, "ce,focal", "--set", "loss=ce")
    assert (done.code, "recipe focal: sets loss=focal" in done.stderr) == (2, True), done.stderr
    done = run_cli("compare", *small, "ce,focal")
    assert (done.code, "train 2 recipes x 3 seeds" in done.stdout) == (0, True), done.stderr
