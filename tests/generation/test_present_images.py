"""What a manifest lists is there and whole, or is named and drawn again."""

import pytest
from tests_support import damage, in_process

from tgn.cli import main as cli
from tgn.data.manifest import ManifestRow, read_manifest, write_filtered
from tgn.generation.present_images import State, present_images

COMMON = ["--device", "cpu", "--set", "precision=float32", "--set", "block=4"]


@pytest.fixture
def generate(monkeypatch, capsys):
    program = in_process(cli.main, monkeypatch, capsys)
    return lambda *words: program("generate", *words, *COMMON)


def contents(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*.*")) if path.is_file()}


@pytest.mark.parametrize("form", ["png", "webdataset"])
def test_changed_images_are_named_and_on_request_drawn_again(trained, generate, form):
    words = ("--class", "bar", "--n", "6", "--set", f"format={form}")
    assert generate(*words).code == 0
    before = contents(trained.generated)
    (broken, *_) = [path for path in before if path.suffix in (".png", ".tar")]
    damage(broken, "one bit" if form == "png" else "an image")
    warned = generate(*words)
    assert (warned.code, "--repair" in warned.stderr) == (0, True), warned.stderr
    assert "1 images in" in warned.stderr
    assert "5 images of bar" in warned.stdout
    assert contents(trained.generated) != before
    repaired = generate(*words, "--repair")
    assert ("--repair" in repaired.stderr, "6 images of bar" in repaired.stdout) == (False, True)
    assert contents(trained.generated) == before


def test_images_of_other_classes_that_are_gone_are_counted(trained, generate):
    assert generate("--class", "all", "--n", "2").code == 0
    (trained.generated / "bar" / "000001.png").unlink()
    done = generate("--class", "disc", "--n", "2")
    assert "1 images that generated lists are gone (bar/000001.png)" in done.stderr.replace(
        str(trained.generated), "generated"
    )
    assert len(list(read_manifest(trained.generated))) == 5
    assert generate("--class", "bar", "--n", "2").code == 0
    assert len(list(read_manifest(trained.generated))) == 6


def test_of_two_rows_of_an_image_the_later_is_right(tmp_path):
    (tmp_path / "0.png").write_bytes(b"new")
    row = ManifestRow(file="0.png", folder="a", class_index=0, index=0, sha256="0" * 64)
    new = row.model_copy(update={"sha256": ""})
    assert present_images(tmp_path, [row]).lost == {("a", 0): ("0.png", State.CHANGED)}
    assert present_images(tmp_path, [row, new]).lost == {}


def test_that_other_images_end_a_filter_is_said(trained, generate):
    assert generate("--class", "bar", "--n", "3").code == 0
    rows = list(read_manifest(trained.generated))
    write_filtered(trained.generated, rows[1:])
    same = generate("--class", "bar", "--n", "3")
    assert ("was filtered" in same.stderr, len(list(read_manifest(trained.generated)))) == (
        False,
        3,
    )
    assert (trained.generated / "manifest.filtered.jsonl").is_file()
    assert "was filtered" in generate("--class", "bar", "--n", "4").stderr
    assert not (trained.generated / "manifest.filtered.jsonl").is_file()
