"""Settings of generated images and of stages that a training would ignore are refused."""

from collections.abc import Iterator, Mapping, Sequence

from classify.methods.settings import SecondStageName
from classify.training.job import TrainingJob
from classify.training.recipes import GENERATED, Recipe
from classify.training.settings import LEVEL, TrainSettings
from tgn.runtime.config import Settings
from tgn.runtime.errors import UserError

OF_GENERATED = ("generated_share", "generated_until", "generated_weight", "generated_ratio")
BESIDE_REAL = OF_GENERATED[:3]  # what is said of generated images that are mixed with real ones
TRAINED: tuple[SecondStageName, ...] = ("crt", "lws", "maxnorm")
STAGES_OF: Mapping[str, tuple[SecondStageName, ...]] = {
    "steps_fraction": TRAINED,
    "lr_factor": TRAINED,
    "label_smoothing": ("crt", "lws"),
    "norm_limit": ("maxnorm",),
    "weight_decay": ("maxnorm",),
    "tau": ("tau-norm",),
}


def check_effects(settings: TrainSettings, job: TrainingJob) -> None:
    """Refuse settings of generated images or of a second stage that change nothing in a training.

    Raises:
        UserError: naming the first one and what it needs.
    """
    for problem in _problems(settings, job):
        raise UserError(problem)


def check_common_effects(settings: TrainSettings, recipes: Sequence[Recipe]) -> None:
    """Refuse common settings of a comparison that have no effect in any of its recipes.

    Raises:
        UserError: naming the first one and what it needs.
    """
    augmented = [one for one in recipes if one.generated]
    read = set(OF_GENERATED) if any(one.probe is None for one in augmented) else {"generated_ratio"}
    for name in _departing(settings, OF_GENERATED):
        if not augmented or name not in read:
            raise UserError(
                f"{name} got no recipe in which it has an effect; add one of NAME{GENERATED} to "
                "--recipes, or leave it out"
            )
    stages = {one.settings.get("second_stage", "none") for one in recipes}
    for name in _departing(settings.second_stage_options, STAGES_OF):
        if stages.isdisjoint(STAGES_OF[name]):
            raise UserError(
                f"second_stage_options.{name} got no recipe with second_stage="
                f"{' or '.join(STAGES_OF[name])}; add one to --recipes, or leave it out"
            )


def of_recipe(settings: TrainSettings, found: Recipe) -> TrainSettings:
    """Return the settings of one recipe without common ones of parts that it does not have."""
    left_out = set() if found.generated else set(OF_GENERATED)
    if settings.second_stage == "none":
        left_out.add("second_stage_options")
    return TrainSettings.joined({k: v for k, v in settings.given.items() if k not in left_out})


def _problems(settings: TrainSettings, job: TrainingJob) -> Iterator[str]:
    for name in _departing(settings, OF_GENERATED):
        if job.augmented is None:
            yield f"{name} got no generated images; give --augmented, or leave it out"
        elif job.images != "all" and name in BESIDE_REAL:
            yield f"{name} got no real images beside the generated ones; leave it out"
    if settings.sampling not in LEVEL and _departing(settings, ("generated_share",)):
        yield (
            f"generated_share got sampling={settings.sampling}, where generated images fill "
            f"classes up; it needs {' or '.join(LEVEL)}; for fewer images set generated_ratio"
        )
    for name in _departing(settings.second_stage_options, STAGES_OF):
        if settings.second_stage not in STAGES_OF[name]:
            yield (
                f"second_stage_options.{name} got second_stage={settings.second_stage}; it needs "
                f"{' or '.join(STAGES_OF[name])}"
            )


def _departing(settings: Settings, names: Sequence[str] | Mapping[str, object]) -> list[str]:
    """Return which settings differ from their defaults."""
    fields = type(settings).model_fields
    return [name for name in names if getattr(settings, name) != fields[name].default]
