"""Files of weights from elsewhere: every reader answers every bad file in one line that names it.

Nothing is fetched, and what a few bytes claim fills no memory. The default run takes some of each.
"""

import io
import json
import resource
import socket
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from classify.detection.checkpoints import load_detector, save_detector
from classify.detection.models.build import DetectorSpec, build_detector
from tgn.generation.cdtg.architecture import recombining_architecture
from tgn.generation.cdtg.checkpoint import load_conditional_generator, save_conditional_generator
from tgn.generation.cdtg.conditional_generator import ConditionalGenerator
from tgn.generation.cdtg.import_published import AVERAGED
from tgn.generation.cdtg.published_weights import generator_from_published
from tgn.generation.diffusion.denoiser import Denoiser, DenoiserFacts, load_denoiser, save_denoiser
from tgn.generation.latents.autoencoder import (
    Autoencoder,
    AutoencoderFacts,
    load_autoencoder,
    save_autoencoder,
)
from tgn.models.backbones import build_backbone, load_classifier, save_classifier
from tgn.models.clip import load_clip
from tgn.models.extractors import load_extractor
from tgn.models.settings import BackboneSettings
from tgn.models.training_networks import tail_net_networks
from tgn.runtime.checkpoints import METADATA_KEY, TENSORS, load_weights
from tgn.runtime.explanations import content_of, explained, named
from tgn.runtime.seals import CHECKSUM
from tgn.scoring.lpips_distance import load_lpips

NAN, INF = float("nan"), float("inf")
THREE = torch.zeros(3)
STEM = "conv1.weight"
CONTENTS: dict[str, Any] = {
    "list": [1], "none": None, "int": 3, "text": "x", "tensor": THREE, "empty": {},
    "intkeys": {1: THREE}, "mixed": {"a": THREE, "b": 1}, "tuplekey": {(1, (2, 3)): THREE},
    "sd_list": {"state_dict": [1]}, "sd_none": {"state_dict": None}, "g_list": {AVERAGED: [THREE]},
    "g_intkeys": {AVERAGED: {1: THREE}}, "g_other": {AVERAGED: {"a": THREE}},
    "deep": {"model": {"model": {"model": {"model": {"model": {"a": THREE}}}}}},
    "nan": {"a": torch.tensor([NAN])}, "inf": {STEM: torch.full((64, 3, 7, 7), INF)},
    "sparse": {"a": torch.eye(3).to_sparse()}, "no numbers": {"a": torch.zeros(3, device="meta")},
    "complex": {STEM: torch.zeros(64, 3, 7, 7, dtype=torch.complex64)},
    "whole numbers": {STEM: torch.zeros(64, 3, 7, 7, dtype=torch.int64)},
    "claims a terabyte": {"a": torch.zeros(1).expand(10**12)},
    "scalars": {n: torch.zeros(()) for n in ("fc.weight", STEM, "pos_embed", "label_emb.weight")},
    "flat": {n: torch.zeros(2) for n in ("fc.weight", STEM, "pos_embed", "features.0.weight")},
    "long name": {"x" * 10**6: THREE}, "no classes": {"fc.weight": torch.zeros(0, 0)},
    "positions": {"pos_embed": torch.zeros(1, 7, 192)},
    "a wide style": {AVERAGED: {
        "label_emb.weight": torch.zeros(2, 10**5), "input.input": torch.zeros(1, 8, 4, 4),
        "to_rgb1.bias": torch.zeros(1, 12, 1, 1), "style.1.weight": torch.zeros(2, 2),
        "conv1.activate.bias": torch.zeros(2), "convs.0.activate.bias": torch.zeros(2),
        "convs.1.activate.bias": torch.zeros(2), "convs.0.conv.weight": torch.zeros(1, 8, 8, 3, 3),
    }},
}  # fmt: skip
VALUES: list[Any] = [
    None, "", -1, 0, 10**9, 1e308, NAN, INF, [], [1], {}, "x" * 100_000, ["../x"], "hf-hub:a/b",
    "local-dir:/tmp", "/etc/passwd", [[1, 2]], {"a": {"b": []}}, [0.0] * 3, [-1.0] * 3, ["a"] * 2,
    "vit_giant_patch14_224", "🙂",
]  # fmt: skip
RAW = ["[]", "null", "3", "{", "[" * 5000, '"x"']  # in place of the header


def _import(path: Path) -> None:
    with content_of(path), named(str(path)):
        generator_from_published(load_weights(path, under=AVERAGED))


def _start(arch: str, size: int) -> Callable[[Path], Any]:
    def read(path: Path) -> None:
        settings = BackboneSettings(arch=arch, size=size, weights=str(path))
        build_backbone(settings, ("a", "b"))

    return read


READERS: dict[str, Callable[[Path], Any]] = {
    "weights of tiny": _start("tiny", 32),
    "weights of resnet18": _start("resnet18", 96),
    "weights of a transformer": _start("vit_tiny_patch16_224", 96),
    "classifier": load_classifier,
    "extractor": load_extractor,
    "resnet18:FILE": lambda path: load_extractor(f"resnet18:{path}"),
    "timm/resnet18:FILE": lambda path: load_extractor(f"timm/resnet18:{path}"),
    "inception:FILE": lambda path: load_extractor(f"inception:{path}"),
    "clip": lambda path: load_clip(f"RN50:{path}", [["x"]], "leave it out"),
    "lpips": lambda path: load_lpips(f"squeeze:{path}"),
    "detector": load_detector,
    "generator": load_conditional_generator,
    "autoencoder": load_autoencoder,
    "denoiser": load_denoiser,
    "import": _import,
}
OURS = ("classifier", "detector", "generator", "autoencoder", "denoiser")
QUICK_READERS = ("weights of tiny", "classifier", "lpips", "generator", "autoencoder", "import")


@pytest.fixture(scope="module")
def ours(tmp_path_factory) -> Path:
    """Write a file of each kind of ours."""
    folder = tmp_path_factory.mktemp("ours")
    paths = {name: folder / f"{name}.safetensors" for name in OURS}
    save_classifier(paths["classifier"], build_backbone(BackboneSettings(arch="tiny"), ("a", "b")))
    spec = DetectorSpec("gfl", "resnet18", ("a",), 64, fpn_channels=32)
    save_detector(paths["detector"], build_detector(spec), spec)
    network = ConditionalGenerator(recombining_architecture(32, 3, 16), 3, 8)
    save_conditional_generator(paths["generator"], network, ["a", "b", "c"], "00")
    save_autoencoder(paths["autoencoder"], Autoencoder(AutoencoderFacts(32, 3)), "{}")
    facts = DenoiserFacts(32, 3, 16, 2, 4)
    save_denoiser(paths["denoiser"], Denoiser(facts, Autoencoder(facts.latents)), "00")
    return folder


@pytest.fixture(autouse=True)
def _no_network(monkeypatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("it reaches for a network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def problem_of(read: Callable[[Path], Any], path: Path) -> str:
    """Return what is wrong with how a reader answers, "" if it takes the file or refuses it."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        read(path)
    except Exception as error:
        line = explained(error)
        if line is None:
            return f"{path.name}: {error!r:.200}"
        if path.name not in line or len(line) > 3000:
            return f"{path.name}: not a line that names it: {line[:300]}"
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return f"{path.name}: it took {grown >> 10} MiB" if grown > 1_000_000 else ""


def headers(kind: str, header: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield what was changed, and the changed header as JSON."""
    for key in header:
        yield f"without {key}", json.dumps({k: v for k, v in header.items() if k != key})
        for k, value in enumerate(VALUES):
            yield f"{key} {k}", json.dumps({**header, key: value})
            yield f"{key} text {k}", json.dumps({**header, key: json.dumps(value)})
        if not header[key].startswith("{"):
            continue
        facts = json.loads(header[key])
        yield f"{key} and more", json.dumps({**header, key: json.dumps({**facts, "zzz": 1})})
        for name in facts:
            rest = {k: v for k, v in facts.items() if k != name}
            yield f"{key} without {name}", json.dumps({**header, key: json.dumps(rest)})
            for k, value in enumerate(VALUES):
                changed = json.dumps({**facts, name: value})
                yield f"{key} {name} {k}", json.dumps({**header, key: changed})
    yield from ((f"raw {k}", text) for k, text in enumerate(RAW))


def check_all(read: Callable[[Path], Any], paths: Iterator[Path]) -> None:
    wrong = [found for path in paths if (found := problem_of(read, path))]
    if wrong:
        pytest.fail("\n".join(wrong[:20]), pytrace=False)


def some(readers: tuple[str, ...] | dict[str, Any], quick: tuple[str, ...]) -> list[Any]:
    """Return the readers, all but the quick ones for ``-m fuzz``."""
    return [
        pytest.param(name, marks=[] if name in quick else [pytest.mark.fuzz]) for name in readers
    ]


@pytest.mark.parametrize("reader", some(READERS, QUICK_READERS))
def test_contents_of_another_kind(reader, tmp_path):
    def written() -> Iterator[Path]:
        for name, content in CONTENTS.items():
            path = tmp_path / f"{name}.pt"
            torch.save(content, path)
            yield path

    check_all(READERS[reader], written())


@pytest.mark.parametrize(
    ("kind", "every"),
    [
        pytest.param(kind, every, marks=[pytest.mark.fuzz] if every == 1 else [])
        for kind in OURS
        for every in (1, 29)
    ],
)
def test_headers_of_our_files(kind, every, ours, tmp_path):
    path = ours / f"{kind}.safetensors"
    tensors = load_file(path)
    with safe_open(path, "pt") as file:
        header = json.loads(file.metadata()[METADATA_KEY])
    for seal in (CHECKSUM, TENSORS):  # as an older version wrote it, or an attacker
        header.pop(seal)

    def written() -> Iterator[Path]:
        for name, text in list(headers(kind, header))[::every]:
            changed = tmp_path / f"{name}.safetensors"
            save_file(tensors, changed, {METADATA_KEY: text})
            yield changed
            changed.unlink()

    check_all(READERS[kind], written())


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"size": 10**9}, "size: "),
        ({"bands": 0}, "bands: "),
        ({"std": [0.5, -0.5, 0.5]}, "std.1: "),
        ({"mean": [0.5]}, "mean and std are not of 3 bands"),
        ({"folders": ["a", "a"]}, "a class folder comes twice"),
        ({"folders": ["../a", "b"]}, "folders.0: "),
        ({"arch": "hf-hub:someone/net"}, "arch: "),
        ({"arch": "local-dir:/tmp/net"}, "arch: "),
        ({"arch": "vit_giant_patch14_224", "size": 224}, "does not fit"),
        ({"probe_parts": [7]}, "probe_parts got"),
        ({"adapter_size": 4096}, "no transformer blocks"),
        ({"sample_range": [[2.0, 1.0]]}, "sample_range got"),
    ],
)
def test_facts_that_cannot_be(change, reason, ours, tmp_path):
    path, changed = ours / "classifier.safetensors", tmp_path / "changed.safetensors"
    with safe_open(path, "pt") as file:
        header = json.loads(file.metadata()[METADATA_KEY])
    facts = json.dumps({**json.loads(header["facts"]), **change})
    entries = {"format": header["format"], "facts": facts}
    save_file(load_file(path), changed, {METADATA_KEY: json.dumps(entries)})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match="changed.safetensors") as caught:
        load_classifier(changed)
    assert reason in str(caught.value)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000  # KiB


@pytest.mark.parametrize("value", [NAN, INF, -INF])
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_nan_is_said_with_file_and_tensor(value, suffix, ours, tmp_path):
    tensors = load_file(ours / "classifier.safetensors")
    name = next(name for name, tensor in tensors.items() if tensor.is_floating_point())
    tensors[name].view(-1)[3] = value
    path = tmp_path / f"w{suffix}"
    save_file(tensors, path) if suffix == ".safetensors" else torch.save(tensors, path)
    with pytest.raises(ValueError, match=f"w{suffix}: the tensor {name} has 1 of .* NaN or inf"):
        READERS["weights of tiny"](path)


def test_an_archive_that_unpacks_to_more_is_refused(tmp_path):
    stream, path = io.BytesIO(), tmp_path / "bomb.pt"
    torch.save({"a": torch.zeros(10**6)}, stream)
    with zipfile.ZipFile(stream) as whole, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as to:
        for name in whole.namelist():
            to.writestr(name, whole.read(name))
    with pytest.raises(ValueError, match="bomb.pt is a compressed archive"):
        load_weights(path)


def test_a_file_that_names_itself_as_its_start_is_no_circle(ours, tmp_path):
    path = tmp_path / "self.safetensors"
    with safe_open(ours / "classifier.safetensors", "pt") as file:
        header = json.loads(file.metadata()[METADATA_KEY])
    facts = json.dumps({**json.loads(header["facts"]), "started_from": str(path)})
    entries = {"format": header["format"], "facts": facts}
    save_file({"a": THREE}, path, {METADATA_KEY: json.dumps(entries)})
    assert [network.name for network in tail_net_networks(path)] == ["tail net", str(path)]
