"""T2FTS with teachers that the user chose, and teachers of which nothing is learned."""

import pytest
from classify_support import train_small
from tests_support import Command, in_process

from classify.cli import main as cli
from classify.methods.phases import RunFacts
from classify.methods.settings import T2ftsSettings
from classify.methods.t2fts import phases
from classify.training import train as train_module
from tgn.data.run_layout import CHECKPOINT
from tgn.models.backbones import load_classifier
from tgn.runtime.errors import NotFoundError, UserError
from tgn.runtime.files import read_json, sha256_of

GROUPS = ("head", "middle", "tail")


@pytest.fixture
def run_cli(monkeypatch, capsys) -> Command:
    return in_process(cli.main, monkeypatch, capsys)


def test_chosen_teachers_teach_the_student_and_stay_as_they_are(fake_run, monkeypatch):
    for seed, name in enumerate(GROUPS):
        train_small(fake_run, name, seed=seed)
    files = {name: fake_run.classifiers / name / CHECKPOINT for name in GROUPS}
    before = {name: sha256_of(file) for name, file in files.items()}
    taught = []
    real = train_module.load_teachers

    def spy(context, phase, images):
        taught.append((phase.name, found := real(context, phase, images)))
        return found

    monkeypatch.setattr(train_module, "load_teachers", spy)
    given = {f"{name}_teacher": name for name in GROUPS}
    given["tail_teacher"] = str(files["tail"])  # a file serves as well as a name
    result = train_small(fake_run, "student", method="t2fts", t2fts=given)
    ((phase, teachers),) = taught  # nothing but the student was trained
    assert phase == ""
    for name in GROUPS:
        own, loaded = load_classifier(files[name]).state_dict(), teachers[name].net.state_dict()
        assert all((own[key] == loaded[key]).all() for key in own)
    assert {name: sha256_of(file) for name, file in files.items()} == before
    assert {k: v for k, v in result["made_from"].items() if "teacher" in k} == {
        f"{name} teacher": digest for name, digest in before.items()
    }


def test_the_missing_teachers_are_trained_and_learn_from_the_given_one(fake_run):
    train_small(fake_run, "mine")
    train_small(fake_run, "student", method="t2fts", t2fts={"middle_teacher": "mine"})
    folder = fake_run.classifiers / "student"
    assert sorted(path.parent.name for path in folder.glob(f"*/{CHECKPOINT}")) == [
        "teacher-head",
        "teacher-tail",
    ]
    mine = fake_run.classifiers / "mine" / CHECKPOINT
    facts = RunFacts((24, 12, 6, 4), 1, None, fake_run.kmdn, fake_run.classifiers)
    tail = phases(T2ftsSettings(middle_teacher="mine"), facts)[1]
    assert tail.teachers == {"head": "teacher-head", "middle": mine}
    assert read_json(folder / "teacher-tail" / "metrics.json")["own_classes"]["classes"] == [2, 3]


def test_unknown_and_unfit_teachers_are_named(fake_run):
    train_small(fake_run, "mine", size=32)
    with pytest.raises(NotFoundError, match=r"no head teacher 'other' in .*; there are: mine"):
        train_small(fake_run, "student", method="t2fts", t2fts={"head_teacher": "other"})
    with pytest.raises(UserError, match=r"takes images of 32 px .* the student with --set size=32"):
        train_small(fake_run, "student", method="t2fts", t2fts={"head_teacher": "mine"})


@pytest.mark.parametrize(
    ("method", "remedy"), [("plain", "leave it out"), ("t2fts", "set t2fts.head_teacher")]
)
def test_a_teacher_of_which_nothing_is_learned_is_refused(fake_run, run_cli, method, remedy):
    train_small(fake_run, "mine")
    done = run_cli(
        "train", "--run", "fake", "--method", method, "--teacher", "mine", "--set", "arch=tiny"
    )
    assert done.code == 2
    assert f"--teacher got --method {method}" in done.stderr.replace("\n", " ")
    assert remedy in " ".join(done.stderr.split())
