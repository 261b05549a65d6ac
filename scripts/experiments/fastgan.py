#!/usr/bin/env -S .venv/bin/python
"""A peer at equal time: FastGAN, one network a tail class, against generated folders of a run.

    pip install --target SITE --no-deps lightweight-gan adabelief-pytorch einops kornia kornia_rs \
        tabulate colorama
    PYTHONPATH=SITE scripts/experiments/fastgan.py RUN OUT --minutes 50 --against GENERATED

FastGAN (Liu et al. 2021, "Towards faster and stabilized GAN training for high-fidelity few-shot
image synthesis") is that of lightweight-gan 1.2.1. Its networks, initial weights, optimisers,
losses and augmentation are imported. Its trainer needs CUDA; the loop here keeps the trainer's
values: hinge losses of both outputs, reconstruction by the discriminator, gradient penalty of
weight 10 at every fourth step, translation and cutout in 30% of the batches, no blur. Different,
since a class has minutes of one core: at most --width channels in place of 512, no attention (the
paper has none, and it took four fifths of a step), no accumulation of gradients. The generator
itself draws, as its moving average starts after 20,000 steps.

Every class has the same share of the core-minutes, on one thread; drawing is not counted. Classes
in OUT/images are skipped, so an interrupted run goes on; tgn score reads that folder. Folders of
--against are judged beside it: the first images of each class, as many from either, against the
class's test images, which neither generator has seen.
"""

import argparse
import random
import time
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from tgn.data.image_folders import folder_rows
from tgn.data.image_grid import save_grid
from tgn.data.images import encode_image
from tgn.data.runs import find_run
from tgn.data.split import Split
from tgn.metrics import extract_features, kid, precision_recall
from tgn.runtime.markdown import markdown_table
from tgn.runtime.seeds import seed_of

PENALTY, PENALTY_EVERY = 10.0, 4
AUGMENTATION = {"prob": 0.3, "types": ["translation", "cutout"]}
SHOWN = 12  # images of a class in the grid


def peer() -> ModuleType:
    """Return the package's module, which refuses to be imported without a GPU."""
    with patch("torch.cuda.is_available", return_value=True):
        module = import_module("lightweight_gan.lightweight_gan")
    # Blur is switched off as its trainer does; the only residual blocks are those with attention.
    module.__dict__.update(Blur=torch.nn.Identity, Residual=lambda _: torch.nn.Identity())
    return module


def network(module: ModuleType, given: argparse.Namespace) -> Any:
    """Return the package's pair of networks with their optimisers, on the CPU."""
    with patch.object(torch.nn.Module, "cuda", lambda self, *_: self):
        return module.LightweightGAN(
            latent_dim=2 * given.width,
            image_size=given.size,
            fmap_max=given.width,
            fmap_inverse_coef=given.width.bit_length() + 2,  # its finest layers: width / 4
            disc_output_size=1,
            lr=given.lr,
        ).train()


def penalty(outputs: tuple[Tensor, Tensor], images: Tensor) -> Tensor:
    """Return the mean squared norm of the outputs' gradient at the images [B, 3, H, W]."""
    slopes = torch.autograd.grad([x.sum() for x in outputs], images, create_graph=True)[0]
    return slopes.flatten(1).square().sum(dim=1).mean()


def train_step(module: ModuleType, net: Any, real: Tensor, step: int) -> None:
    """Update the discriminator, then the generator; ``real`` [B, 3, H, W] in [0, 1]."""
    is_penalised = step % PENALTY_EVERY == 0
    with torch.no_grad():
        fake = net.G(torch.randn(len(real), net.latent_dim))
    real.requires_grad_(is_penalised)
    fake, (*of_fake, _) = net.D_aug(
        fake, detach=True, input_requires_grad=is_penalised, return_discr_input=True, **AUGMENTATION
    )
    *of_real, reconstruction = net.D_aug(real, calc_aux_loss=True, **AUGMENTATION)
    loss = reconstruction + sum(map(module.hinge_loss, of_real, of_fake))
    if is_penalised:
        loss = loss + PENALTY * (penalty(of_real, real) + penalty(of_fake, fake)) / 2
    net.D_opt.zero_grad()
    loss.backward()
    net.D_opt.step()
    of_fake = net.D_aug(net.G(torch.randn(len(real), net.latent_dim)), **AUGMENTATION)[:2]
    net.G_opt.zero_grad()
    sum(module.gen_hinge_loss(x, None) for x in of_fake).backward()
    net.G_opt.step()


def trained(images_u8: Tensor, seconds: float, given: argparse.Namespace) -> Any:
    """Return networks trained on the images of a class for so many core-seconds."""
    started, step = time.process_time(), 0
    module = peer()
    net, real = network(module, given), images_u8 / 255
    while time.process_time() - started < seconds:
        train_step(module, net, real[torch.randint(len(real), (given.batch,))], step)
        step += 1
    print(f"  {step} steps in {time.process_time() - started:.0f} core-seconds", flush=True)
    return net


@torch.no_grad()
def drawn(net: Any, count: int) -> Tensor:
    """Return images_u8 [count, 3, H, W] of the generator."""
    net.eval()
    parts = [net.G(part) for part in torch.randn(count, net.latent_dim).split(50)]
    return torch.cat(parts).clamp(0, 1).mul(255).round().byte()


def draw_classes(given: argparse.Namespace, split: Split, images: Any, folder: Path) -> None:
    """Train on each tail class and write its images, where the folder has none."""
    seconds = 60 * given.minutes / len(split.tail_classes)
    for label in split.tail_classes:
        name = split.classes[label].folder
        if (folder / name).is_dir():
            continue
        rows = images.rows_of(label)
        print(f"{name}: {len(rows)} images", flush=True)
        torch.manual_seed(seed_of(given.seed, "fastgan", name))
        random.seed(seed_of(given.seed, "fastgan augmentation", name))
        pictures = drawn(trained(images.batch(rows), seconds, given), given.images)
        unfinished = folder / f".{name}"  # hidden: no class until it is whole
        unfinished.mkdir(parents=True, exist_ok=True)
        for number, picture in enumerate(pictures):
            (unfinished / f"{number:06d}.png").write_bytes(encode_image(picture, "png"))
        shown = pictures[:SHOWN]
        save_grid(folder.parent / f"grid_{name}.png", [shown], [name], ["generated"] * len(shown))
        unfinished.rename(folder / name)


def features_by_class(folder: Path, judge: str, size: int) -> dict[str, Tensor]:
    """Return the features of a generated folder, [n, D] a class folder."""
    names = [row.folder for row in folder_rows(folder)]
    table = extract_features(folder, judge, size)
    return {k: table[torch.tensor([name == k for name in names])] for k in sorted({*names})}


def compare(given: argparse.Namespace, split: Split, test: Any, folders: list[Path]) -> str:
    """Return a table of KID and recall a class, and on how many each folder beats FastGAN."""
    sets = [features_by_class(folder, given.judge, given.size) for folder in folders]
    names = [split.classes[k].folder for k in split.tail_classes]
    names = [name for name in names if all(name in one for one in sets)]
    found: list[dict[str, tuple[float, float]]] = [{} for _ in sets]  # KID, recall
    for name in names:
        real = extract_features(test.batch(test.rows_of(split.class_called(name))), given.judge)
        count = min(len(one[name]) for one in sets)
        for one, figures in zip(sets, found, strict=True):
            pair = one[name][:count], real
            figures[name] = float(kid(*pair, seed=given.seed)), precision_recall(*pair).recall
    heads = [f"{folder.name}: {what}" for folder in folders for what in ("KID", "recall")]
    rows = [[n, *(f"{x:.3f}" for one in found for x in one[n])] for n in names]
    lines = [markdown_table(["class", *heads], rows), ""]
    for folder, figures in zip(folders[1:], found[1:], strict=True):
        kids = {n for n in names if figures[n][0] < found[0][n][0]}
        recalls = {n for n in names if figures[n][1] > found[0][n][1]}
        lines.append(
            f"{folder.name} of {len(names)} classes: better KID {len(kids)}, better recall "
            f"{len(recalls)}, both {len(kids & recalls)} ({len(kids & recalls) / len(names):.0%})"
        )
    return "\n".join(lines)


def main() -> None:
    """Train what is missing, and print the comparison."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", help="split by tgn split")
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=50, help="of one core, all classes")
    parser.add_argument("--images", type=int, default=100, help="a class")
    parser.add_argument("--against", type=Path, action="append", default=[], metavar="FOLDER")
    parser.add_argument("--judge", default="imagenet/mobilenetv2_100")
    parser.add_argument("--size", type=int, default=64, help="a power of 2")
    parser.add_argument("--width", type=int, default=64, help="channels of the widest layer")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--lr", type=float, default=2e-4)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    run, folder = find_run(given.run), given.out / "images"
    split = run.split()
    draw_classes(given, split, split.image_set("train", run.path, given.size), folder)
    if given.against:
        test = split.image_set("test", run.path, given.size)
        print(compare(given, split, test, [folder, *given.against]))


if __name__ == "__main__":
    main()
