"""Published classifiers, as those of a run."""

import pytest
import timm
import torch
from tests_support import in_process

from classify.cli import main as cli
from classify.evaluation.import_published import import_classifier
from tgn.models.backbones import load_classifier
from tgn.runtime.errors import UserError


def published(folder, classes: int):
    """Write torchvision's ResNet-50 with its last layer in a Sequential; return net and file."""
    torch.manual_seed(0)
    net = timm.create_model("resnet50", num_classes=classes).eval()
    state = {k.replace("fc.", "fc.0."): v for k, v in net.state_dict().items()}
    torch.save(state, folder / "result.pth")
    return net, folder / "result.pth"


def test_labels_find_their_folders(fake_run, tmp_path):
    theirs, file = published(tmp_path, 4)
    out = tmp_path / "classifier.safetensors"
    import_classifier(fake_run.split(), file, out, 32)
    ours, images = load_classifier(out), torch.rand(2, 3, 32, 32) * 2 - 1
    with torch.inference_mode():
        expected, found = theirs(images), ours(images).logits
    alphabetical = ["bar", "cross", "disc", "square"]
    for place, folder in enumerate(ours.facts.folders):
        torch.testing.assert_close(found[:, place], expected[:, alphabetical.index(folder)])


def test_another_layout_is_refused(fake_run, tmp_path):
    _, file = published(tmp_path, 5)
    with pytest.raises(UserError, match="has 5 classes, the run 4"):
        import_classifier(fake_run.split(), file, tmp_path / "x.safetensors", 32)
    other = tmp_path / "other.pth"
    torch.save({"head.weight": torch.zeros(4, 8)}, other)
    with pytest.raises(UserError, match=r"no last layer fc.0.weight, fclass.weight, fc.weight"):
        import_classifier(fake_run.split(), other, tmp_path / "x", 32)
    torch.save({"fc.weight": torch.zeros(4, 8), "layer1.0.conv1.weight": torch.zeros(1)}, other)
    with pytest.raises(
        UserError, match=r"layers of \(1, 0, 0, 0\) blocks; expected one of resnet18"
    ):
        import_classifier(fake_run.split(), other, tmp_path / "x", 32)


def t2fts(folder, classes: int):
    """Write the layout of T2FTS: an unused colour stem, a grey one, ``fclass``, no counters."""
    torch.manual_seed(0)
    net = timm.create_model("resnet50", num_classes=classes, in_chans=1).eval()
    state = {name.replace("fc.", "fclass."): v for name, v in net.state_dict().items()}
    state["conv2.weight"], state["conv1.weight"] = state["conv1.weight"], torch.rand(64, 3, 7, 7)
    state = {f"module.{k}": v for k, v in state.items() if not k.endswith("num_batches_tracked")}
    torch.save(state, folder / "baselinet1_30")
    return net, folder / "baselinet1_30"


def test_t2fts_sees_by_its_grey_stem(fake_run, tmp_path):
    theirs, file = t2fts(tmp_path, 4)
    out = tmp_path / "classifier.safetensors"
    import_classifier(fake_run.split(), file, out, 32)
    ours, images = load_classifier(out), torch.rand(2, 1, 32, 32) * 2 - 1
    assert (ours.facts.arch, ours.facts.bands, ours.facts.size) == ("resnet50", 1, 32)
    with torch.inference_mode():
        expected, found = theirs(images), ours(images)
        stage3 = theirs.forward_intermediates(images, indices=[3], intermediates_only=True)[0]
    order = [["bar", "cross", "disc", "square"].index(folder) for folder in ours.facts.folders]
    torch.testing.assert_close(found.logits, expected[:, order])
    torch.testing.assert_close(found.features, stage3)  # what the student of T2FTS learns


def test_an_entry_that_does_not_fit_is_named(fake_run, tmp_path):
    _, file = t2fts(tmp_path, 4)
    state = torch.load(file, weights_only=True)
    state["module.feat_fc.weight"] = torch.zeros(3)
    torch.save(state, file)
    with pytest.raises(UserError, match=r"unknown 1 \[feat_fc.weight\]"):
        import_classifier(fake_run.split(), file, tmp_path / "x.safetensors", 32)


def test_torchvisions_names_come_with_their_normalisation(fake_run, tmp_path):
    theirs = timm.create_model("resnet34", num_classes=4, in_chans=1).eval()
    torch.save(theirs.state_dict(), tmp_path / "eo.pth")
    out = tmp_path / "classifier.safetensors"
    import_classifier(fake_run.split(), tmp_path / "eo.pth", out, 30, (0.29,), (0.13,))
    ours, images = load_classifier(out), torch.rand(2, 1, 30, 30)
    with torch.inference_mode():
        expected, found = theirs((images - 0.29) / 0.13), ours(images * 2 - 1).logits
    order = [["bar", "cross", "disc", "square"].index(folder) for folder in ours.facts.folders]
    torch.testing.assert_close(found, expected[:, order], rtol=1e-4, atol=1e-5)
    with pytest.raises(UserError, match="got 3 numbers, expected 1 or 1"):
        import_classifier(fake_run.split(), tmp_path / "eo.pth", out, 30, (0.1, 0.2, 0.3))


def test_a_whole_module_is_refused_with_the_way_to_convert_it(fake_run, tmp_path):
    theirs = timm.create_model("resnet18", num_classes=4)
    torch.save(theirs, tmp_path / "eo.pt")
    with pytest.raises(UserError, match=r"pickled code .*torch.save\(model.state_dict\(\), FILE\)"):
        import_classifier(fake_run.split(), tmp_path / "eo.pt", tmp_path / "x.safetensors", 30)


def test_the_command_says_what_it_has_found(fake_run, tmp_path, monkeypatch, capsys):
    _, file = t2fts(tmp_path, 4)
    run_cli = in_process(cli.main, monkeypatch, capsys)
    done = run_cli("import", str(file), "--name", "t1", "--size", "32", "--run", "fake")
    assert done.code == 0, done.stderr
    assert "resnet50, 32 px, 1 band(s)" in done.stdout
    assert load_classifier(fake_run.classifiers / "t1" / "classifier.safetensors").facts.bands == 1
    done = run_cli("import", str(file), "--mean", "grey", "--run", "fake")
    assert (done.code, "--mean got 'grey'" in done.stderr) == (2, True)
