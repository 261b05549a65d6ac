"""Two processes train generators, generate and score as one does: the same global batch."""

import json
import shutil

from process_support import COMMON, TINY, assert_same_curve, run_on, without_shares

from tgn.runtime.files import read_json, sha256_of

SMALL = ("size=32", "width=16", "clip_steps=2")
OF_TRAIN = [word for setting in SMALL for word in ("--set", setting)]
NETS = (*TINY, "--set", "size=32", "--set", "bank_views=2")


def test_the_pipeline_on_two_processes_is_that_on_one(fake_run, tmp_path):
    small = ["--set", "steps=4", "--set", "batch_size=16"]
    for processes, root in ((2, "two"), (1, "runs")):
        runs = tmp_path / root
        if root == "two":
            run_on(
                1,
                "tgn",
                "split",
                str(tmp_path / "data"),
                "--run",
                "fake",
                "--set",
                "val_fraction=0",
                TGN_RUNS=str(runs),
            )
        where = {"TGN_RUNS": str(runs)}
        run_on(processes, "tgn", "distill", *COMMON, *small, *NETS, **where)
        run_on(processes, "tgn", "train", *COMMON, *small, *OF_TRAIN, **where)
    for processes, root in ((1, "two"), (2, "runs")):  # on with the other number of processes
        longer = [*small, *OF_TRAIN, "--set", "steps=6"]
        run_on(processes, "tgn", "train", *COMMON, *longer, TGN_RUNS=str(tmp_path / root))
    one, two = tmp_path / "runs" / "fake", tmp_path / "two" / "fake"
    assert_same_curve(one / "kmdn" / "metrics.jsonl", two / "kmdn" / "metrics.jsonl")
    # Adam without momentum makes steps of rounding errors, so the curves part a little sooner.
    assert_same_curve(*(without_shares(run / "cdtg" / "metrics.jsonl") for run in (one, two)), 2e-2)
    for processes in (1, 2):
        words = ["--class", "every", "--n", "20", "--set", "block=16"]  # two blocks, one not full
        for out, kind in (("made", "png"), ("shards", "webdataset")):
            place = ["--out", str(tmp_path / f"{out}{processes}"), "--set", f"format={kind}"]
            run_on(processes, "tgn", "generate", *COMMON[:4], *words, *place)
    rows = [(tmp_path / f"made{n}" / "manifest.jsonl").read_text() for n in (1, 2)]
    assert rows[0] == rows[1]
    assert len(rows[0].splitlines()) == 4 * 20
    for line in rows[1].splitlines()[::5]:
        row = json.loads(line)
        assert sha256_of(tmp_path / "made2" / row["file"]) == row["sha256"]
    tars = sorted((tmp_path / "shards1").glob("*.tar"))
    assert [sha256_of(tmp_path / "shards2" / tar.name) for tar in tars] == list(
        map(sha256_of, tars)
    )
    found = []
    for processes in (1, 2):
        shutil.rmtree(one / "scores", ignore_errors=True)  # and the features in it
        run_on(processes, "tgn", "score", str(tmp_path / "made1"), "--device", "cpu")
        (file,) = (one / "scores").glob("made1*[!t].json")  # not .nearest.json
        found.append(read_json(file))
        file.unlink()
    assert found[0] == found[1]
