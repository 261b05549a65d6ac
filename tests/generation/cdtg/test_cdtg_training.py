"""Training CDTG on a tiny run: each term's gradient, what is logged, exact resume."""

import copy

import pytest
import torch
from generation_support import distill_anew
from tests_support import CDTG, QUICK, copied_run

from tgn.data.augmentation import SYMMETRIES, dihedral
from tgn.data.prompts import prompts_of
from tgn.generation.cdtg import losses
from tgn.generation.cdtg import train as training
from tgn.generation.cdtg import trainer as cdtg_trainer
from tgn.generation.cdtg.conditional_generator import Source
from tgn.generation.cdtg.gradient_norms import gradient_norms
from tgn.generation.cdtg.recombination import KEPT
from tgn.generation.cdtg.sampler import open_cdtg_sampler
from tgn.generation.cdtg.settings import CdtgSampleSettings, CdtgTrainSettings
from tgn.generation.cdtg.trainer import CdtgTrainer
from tgn.generation.frozen_network import frozen_network
from tgn.generation.stage_discriminator import StageDiscriminator
from tgn.generation.training_monitor import TrainingMonitor
from tgn.models.clip import load_clip
from tgn.models.tiny_clip import tiny_clip, tiny_clip_networks
from tgn.models.training_networks import from_header
from tgn.runtime.checkpoints import read_metadata
from tgn.runtime.devices import Device
from tgn.runtime.errors import NotFoundError, UserError
from tgn.runtime.files import read_json_lines, sha256_of
from tgn.runtime.progress import Silent
from tgn.runtime.training_loop import Job

TERMS = ("g_adversarial", "g_class", "g_clip", "g_diversity", "g_source")


def settings(**changes: object) -> CdtgTrainSettings:
    small = {"steps": 3, "clip_steps": 2, "log_every": 1, "grid_every": 3}
    return CdtgTrainSettings.model_validate({**CDTG, **small, **changes})


def built(run, **changes: object) -> CdtgTrainer:
    chosen = settings(**changes)
    return training.build_cdtg_trainer(run, chosen, Job(run.cdtg, Device(chosen), Silent()))


@pytest.fixture(scope="module")
def made_trained(made_trained, tmp_path_factory):
    """Make once what ``trained`` copies, here with the tiny CLIP of these settings."""
    made = tmp_path_factory.mktemp("clip")
    built(copied_run(made_trained, made))
    return made


@pytest.fixture
def trainer(trained):
    """A trainer at step 0."""
    return built(trained)


def frozen_networks(trainer: CdtgTrainer) -> dict[str, torch.nn.Module]:
    networks = trainer.networks
    return {
        "frozen": networks.frozen,
        "tail net": networks.frozen_tail_net,
        "clip": networks.clip,
    }


def test_every_term_sends_gradient_into_the_generator_and_into_no_frozen_net(trainer):
    for step in (1, 2):  # the noise strengths start at zero: one step makes pairs differ
        trainer.train_step(step)
    trainer.networks.real_distance = 100.0  # no pair differs enough
    batch = trainer._batch(0)
    fake = trainer._generate(batch)
    terms, network = trainer.generator_terms(batch, fake), trainer.networks.generator
    assert tuple(terms) == TERMS
    for name, term in terms.items():
        found = torch.autograd.grad(
            term, [*network.generator.parameters()], retain_graph=True, allow_unused=True
        )
        gradients = [gradient for gradient in found if gradient is not None]
        assert sum(float(gradient.abs().sum()) for gradient in gradients) > 0, name
        assert all(gradient.isfinite().all() for gradient in gradients), name
    network.zero_grad()
    trainer.networks.clip.zero_grad()  # of its own training
    torch.stack([*terms.values()]).sum().backward()
    assert network.fusion.to_vector.weight.grad.any()
    for name, net in frozen_networks(trainer).items():
        assert all(weight.grad is None for weight in net.parameters()), name


def test_a_term_is_there_only_with_a_weight(trainer):
    batch = trainer._batch(0)
    with torch.no_grad():
        fake = trainer._generate(batch)
        for name in TERMS:
            off = {f"{term[2:]}_weight": 0.0 for term in TERMS if term != name}
            trainer.settings = settings(**off)
            assert set(trainer.generator_terms(batch, fake)) == {name}


def test_generator_and_discriminator_are_trained_and_nothing_else(trainer):
    frozen = frozen_networks(trainer)
    before = {name: copy.deepcopy(net.state_dict()) for name, net in frozen.items()}
    networks, average = trainer.networks, trainer.averaged_generator
    kept = copy.deepcopy(networks.generator.recombination.state_dict())
    trained = (networks.generator.generator, networks.generator.fusion, networks.discriminator)
    trained += (average.generator, average.fusion)
    weights_before = [weights_of(net) for net in trained]
    trainer.settings = trainer.settings.model_copy(update={"path_every": 2})
    first, second = trainer.train_step(0), trainer.train_step(1)
    for net, weights in zip(trained, weights_before, strict=True):
        assert not torch.equal(weights_of(net), weights)
    for name, net in frozen.items():
        assert_same_state(net.state_dict(), before[name])
    for generator in (networks.generator, average):
        assert_same_state(generator.recombination.state_dict(), kept)
    assert "g_path" not in first  # a generator without output has paths of no length
    assert {"d_adversarial", "d_real", "g_path", *TERMS} == second.keys()
    assert all(value.isfinite() for value in (*first.values(), *second.values()))
    assert all(weight.requires_grad for weight in networks.discriminator.parameters())


def weights_of(net: torch.nn.Module) -> torch.Tensor:
    """Return a copy of all weights, flat."""
    return torch.cat([weight.detach().flatten() for weight in net.parameters()])


def assert_same_state(one, two) -> None:
    assert one.keys() == two.keys()
    assert all(torch.equal(value, two[name]) for name, value in one.items())


def test_the_discriminator_is_told_the_class_and_what_is_left_of_the_source(trainer, monkeypatch):
    told = []
    forward = StageDiscriminator.forward

    def listens(self, stages, labels, condition):
        told.append((labels, condition))
        return forward(self, stages, labels, condition)

    monkeypatch.setattr(StageDiscriminator, "forward", listens)
    batch = trainer._batch(0)._replace(ratio=torch.tensor([0.0, 0.25, 1.0, 1.0]))
    trainer._discriminator_step(batch, trainer._generate(batch))
    pooled = trainer.networks.generator.fusion.pooled(batch.features)
    for labels, condition in told:  # of real and of generated images alike
        assert torch.equal(labels, batch.labels)
        torch.testing.assert_close(condition, (1 - batch.ratio)[:, None] * pooled)
        assert not condition[2:].any()
        assert not condition.requires_grad
    assert len(told) == 2


def test_pairs_share_the_source_and_differ_in_noise(trainer):
    batch = trainer._batch(0)
    with torch.no_grad():
        fake = trainer._generate(batch)
        source = Source(batch.features[:1], batch.images[:1])
        given = source, batch.labels[:1], batch.noise[4:], batch.ratio[:1]
        again = trainer.networks.generator(*given)
    assert len(fake.given) == len(fake.images) == len(fake.stages[0]) == 5
    torch.testing.assert_close(fake.images[4:], again.images, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(fake.given[4:], again.given, atol=1e-6, rtol=0)
    assert not torch.allclose(fake.images[0], fake.images[4], atol=0.01)


def test_some_real_images_of_every_class_are_kept(trainer, trained):
    found, split = trainer.networks.generator.recombination, trained.split()
    assert found.counts.tolist() == [min(count, KEPT) for count in split.counts]
    for label in range(split.num_classes):
        kept = found.kept[label * KEPT : label * KEPT + int(found.counts[label])]
        real = trainer.images.batch(trainer.images.rows_of(label))
        views = torch.cat([dihedral(real, code) for code in range(SYMMETRIES)])
        of_class = [
            int((views == each).flatten(1).all(1).nonzero()[0]) % len(real) for each in kept
        ]
        assert len(set(of_class)) == len(kept)  # each another image


def test_what_is_compared_with_what_was_recombined_is_the_image_made_from_it(trainer):
    batch = trainer._batch(0)
    with torch.no_grad():
        fake = trainer._generate(batch)
    moved = fake._replace(images=fake.given + torch.tensor(0.25))
    assert float(trainer._source_term(batch, moved)) == pytest.approx(0.25, abs=1e-5)
    # Without recombination it is the source, the less the more noise.
    batch = batch._replace(ratio=torch.tensor([0.0, 0.5, 1.0, 1.0]))
    plain = fake._replace(given=None, images=torch.cat([batch.images, batch.images[:1]]) + 0.4)
    assert float(trainer._source_term(batch, plain)) == pytest.approx(0.4 * 1.25 / 4, abs=1e-5)


def test_the_mean_path_starts_at_the_first_measured_one_and_is_saved(trainer, monkeypatch):
    lengths = iter([torch.tensor([3.0, 5.0]), torch.tensor([104.0]), torch.tensor([4.0])])
    monkeypatch.setattr(losses, "path_lengths", lambda *_: next(lengths))
    batch = trainer._batch(0)
    saved = trainer.state_dict()
    assert saved["mean_path"] is None
    assert float(trainer._path_length(batch, 0)) == 1  # both are one from their mean
    trainer._path_length(batch, 16)
    assert float(trainer.mean_path) == pytest.approx(4 + 0.01 * 100)
    trainer.load_state_dict(saved)
    trainer._path_length(batch, 0)
    assert float(trainer.mean_path) == 4  # of the third measurement: nothing of the others is left
    # States of older versions always hold a number.
    trainer.load_state_dict({**saved, "mean_path": torch.tensor(7.0)})
    assert float(trainer.mean_path) == 7


def test_lazy_terms_are_logged_whenever_they_are_there(trained):
    chosen = settings(steps=5, log_every=4, path_every=3, clip="none", grid_every=100)
    training.train_cdtg(trained, chosen, Silent(), resume=False)
    rows = {row["step"]: row for row in read_json_lines(trained.cdtg / "metrics.jsonl")}
    assert [step for step, row in rows.items() if "g_path" in row] == [3]
    assert [step for step, row in rows.items() if "grad_source" in row] == [1]
    assert [step for step, row in rows.items() if "g_source" in row] == [4, 5]


def test_a_gradient_norm_is_that_of_the_weighted_term_at_the_images():
    images = torch.tensor([[1.0, -2.0], [3.0, 4.0]]).reshape(2, 1, 1, 2).requires_grad_()
    pixels = images * 1.0
    terms = {"g_source": pixels.mean(), "g_class": pixels.square().sum() / 2}
    norms = gradient_norms(terms, {"g_source": 6.0, "g_class": 0.5}, pixels, Device(settings()))
    assert norms["grad_source"] == pytest.approx(6 / 4 * 2)  # four values of 6 / 4 each
    assert norms["grad_class"] == pytest.approx(0.5 * 30**0.5)
    assert images.grad is None
    sum(terms.values()).backward()  # the graph is still there


def test_gradient_norms_change_nothing_of_the_training(trained, monkeypatch):
    found = []
    for every in (1, 10**9):
        monkeypatch.setattr(cdtg_trainer, "GRADIENTS_EVERY", every)
        trainer = built(trained)
        terms = [trainer.train_step(step) for step in (1, 2)][-1]
        assert ("grad_adversarial" in terms) == (every == 1)
        found.append({**trainer.networks.generator.state_dict(), "term": terms["g_source"]})
    assert all(torch.equal(found[0][name], value) for name, value in found[1].items())


def test_ratio_covers_all_of_zero_to_one(trainer):
    ratio = torch.cat([trainer._host_batch(step).ratio for step in range(300)])
    assert ratio.min() < 0.01
    assert ratio.max() > 0.97


def test_train_resumes_bit_for_bit_and_writes_grid_log_and_weights(distilled):
    training.train_cdtg(distilled, settings(steps=2), Silent())
    training.train_cdtg(distilled, settings(steps=3), Silent())
    folder = distilled.path / "cdtg"
    parts = sha256_of(folder / "generator.safetensors")
    known = from_header(read_metadata(folder / "generator.safetensors"))
    names = [network.name for network in known]
    assert names[:3] == ["tail net", frozen_network().name, "CLIP tiny"]
    assert set(tiny_clip_networks()) <= set(known)
    assert known[0].sha256 == sha256_of(distilled.path / "kmdn" / "tail.safetensors")
    assert [row["step"] for row in read_json_lines(folder / "metrics.jsonl")] == [1, 2, 3]
    assert (folder / "grids" / "0000003.png").is_file()
    logged = [*read_json_lines(folder / "metrics.jsonl")][-1]
    assert {"agreement_r0.4", "own_source_r1", "energy_r1", "g_source"} <= logged.keys()
    assert sorted(folder.glob("tensorboard/*"))
    training.train_cdtg(distilled, settings(steps=3), Silent(), resume=False)
    assert sha256_of(folder / "generator.safetensors") == parts


def test_mode_collapse_is_warned_of(trainer, trained):
    lines = []

    class Listener(Silent):
        def warn(self, text: str) -> None:
            lines.append(text)

    job = Job(trained.cdtg, trainer.device, Listener())
    chosen = settings(collapse_fraction=1e6)
    monitor = TrainingMonitor(trainer, trained.split(), chosen, job, "raise x")
    assert monitor.after(2) is None
    logged = monitor.after(3)
    assert logged is not None
    assert {"variety_min", "variety_mean"} <= logged.keys()
    assert len(lines) == len(trained.split().tail_classes)
    alarms = list(read_json_lines(job.directory / "alarms.jsonl"))
    assert alarms[0]["step"] == 3


def test_prompt_i_belongs_to_folder_i(fake_run):
    split = fake_run.split()
    for entry, prompts in zip(split.classes, prompts_of(split.names), strict=True):
        assert all(entry.folder in prompt for prompt in prompts)
    guide = tiny_clip(prompts_of(split.names), 32)
    assert guide.tokens.shape[0] == split.num_classes
    images = torch.zeros(2, 3, 32, 32, requires_grad=True)
    guide.freeze()(images).sum().backward()
    assert images.grad is not None


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("nonsense", "expected arch:tag or arch:/file"),
        ("ViT-X:openai", "no architecture 'ViT-X'"),
        ("ViT-B-32:nothing", "has no tag 'nothing'"),
        ("ViT-B-32:/no/such/file.pt", "no file"),
    ],
)
def test_clip_sources_that_cannot_work_say_what_to_use(spec, message):
    with pytest.raises(UserError, match=message):
        load_clip(spec, prompts_of(["a", "b"]), "use another")


def test_a_tag_that_cannot_be_fetched_names_the_ways_out(monkeypatch):
    import open_clip

    def offline(*_args, **_kwargs):
        raise ConnectionError("no network")

    monkeypatch.setattr(open_clip, "create_model", offline)
    with pytest.raises(UserError, match="not cached .* clip=tiny .* clip=none"):
        load_clip("ViT-B-32:openai", [["a"]], training.CLIP_REMEDY)


def test_a_run_without_tail_net_or_generator_names_the_command(fake_run):
    with pytest.raises(NotFoundError, match="tgn distill"):
        training.train_cdtg(fake_run, settings(), Silent())
    with pytest.raises(NotFoundError, match="tgn train"):
        open_cdtg_sampler(fake_run, CdtgSampleSettings(**QUICK))


def test_a_generator_of_another_tail_net_is_trained_anew(trained):
    distill_anew(trained)
    with pytest.raises(UserError, match="another tail net.*tgn train --no-resume"):
        open_cdtg_sampler(trained, CdtgSampleSettings(**QUICK))
    chosen = CdtgTrainSettings.model_validate(trained.recorded("train")["settings"])
    with pytest.raises(UserError, match="tail_net_sha256 differ.*--no-resume"):
        training.train_cdtg(trained, chosen, Silent())
    training.train_cdtg(trained, chosen, Silent(), resume=False)
    open_cdtg_sampler(trained, CdtgSampleSettings(**QUICK))
