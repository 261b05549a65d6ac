"""Two processes train and sample a diffusion model as one does: the same global batch."""

import shutil

import pytest
from process_support import COMMON, TINY, assert_same_curve, run_on, without_shares


@pytest.mark.slow
def test_diffusion_on_two_processes_is_that_on_one(fake_run, tmp_path):
    small = ["--set", "steps=4", "--set", "batch_size=16"]
    nets = (*TINY, "--set", "size=32", "--set", "bank_views=2")
    run_on(1, "tgn", "distill", *COMMON, *small, *nets)
    trained, curves = fake_run.path / "diffusion" / "metrics.jsonl", {}
    learned, autoencoders = fake_run.latents / "metrics.jsonl", {}
    for processes in (2, 1):
        words = ["--backend", "diffusion", "--no-resume", "--set", "width=16", "--set", "size=32"]
        words += ["--set", "autoencoder_steps=2"]
        run_on(processes, "tgn", "train", *COMMON, *small, *words)
        curves[processes] = tmp_path / f"on{processes}.jsonl"
        shutil.copy(trained, curves[processes])
        autoencoders[processes] = tmp_path / f"autoencoder{processes}.jsonl"
        shutil.move(learned, autoencoders[processes])
        fake_run.autoencoder.unlink()
    assert_same_curve(autoencoders[1], autoencoders[2])
    assert_same_curve(without_shares(curves[1]), without_shares(curves[2]))
    quick = [
        "--device",
        "cpu",
        "--set",
        "precision=float32",
        "--set",
        "block=4",
        "--set",
        "sampling_steps=2",
        "--n",
        "6",
    ]
    for processes in (1, 2):
        out = ["--class", "all", "--out", str(tmp_path / f"drawn{processes}")]
        run_on(processes, "tgn", "generate", *quick, *out)
    one, two = (
        {path.relative_to(root): path.read_bytes() for path in root.rglob("*.png")}
        for root in (tmp_path / "drawn1", tmp_path / "drawn2")
    )
    assert len(one) == 6 * len(fake_run.split().tail_classes)
    assert one == two
