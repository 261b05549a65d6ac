"""Settings of generated images and of stages that a training would ignore are refused."""

from collections.abc import Iterator, Mapping, Sequence

from classify.methods.settings import SecondStageName
from classify.training.job import TrainingJob
from classify.training.recipes import GENERATED, Recipe, TrainingImages
from classify.training.settings import LEVEL, TrainSettings
from classify.training.uses.requirements import unmet
from tgn.runtime.config import Settings
from tgn.runtime.errors import UserError

OF_GENERATED = ("generated_share", "generated_until", "generated_weight", "generated_ratio")
UNTIL = "generated_until"
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

    A use of generated images that cannot work with the other settings is refused, too.

    Raises:
        UserError: naming the first one and what it needs.
    """
    has_generated = job.augmented is not None
    for name, problem in _without_effect(settings, has_generated, job.images):
        raise UserError(f"{name} {problem}")
    for problem in _of_use(settings, has_generated, job.images):
        raise UserError(f"generated_use {problem}")


def check_common_effects(settings_of: Mapping[str, tuple[TrainSettings, Recipe]]) -> None:
    """Refuse common settings of a comparison that have no effect in any of its recipes.

    Args:
        settings_of: the name of each recipe -> its settings, common ones included, and the recipe.

    Raises:
        UserError: naming the first one and what it needs.
    """
    found = [dict(_in_recipe(settings, one)) for settings, one in settings_of.values()]
    for name, problem in found[0].items():
        if all(name in others for others in found):
            raise UserError(
                f"{name} got no recipe in which it has an effect; of {next(iter(settings_of))}: it "
                f"{problem}"
            )


def of_recipe(settings: TrainSettings, found: Recipe) -> TrainSettings:
    """Return the settings of one recipe without common ones that have no effect in it."""
    given = settings.given
    for name, _ in _in_recipe(settings, found):
        *group, last = name.split(".")
        (given[group[0]] if group else given).pop(last, None)
    return TrainSettings.joined(given)


def _in_recipe(settings: TrainSettings, found: Recipe) -> Iterator[tuple[str, str]]:
    """Yield what has no effect in a recipe; a probe reads the ratio of generated images alone."""
    if found.probe is None:
        yield from _without_effect(settings, found.generated, found.images)
        return
    for name in _departing(settings, ("generated_use", *OF_GENERATED)):
        if not (found.generated and name == "generated_ratio"):
            yield name, f"got a probe; add another NAME{GENERATED}, or leave it out"
    for name in _departing(settings.second_stage_options, STAGES_OF):
        yield f"second_stage_options.{name}", "got a probe, which has one stage; leave it out"


def _without_effect(
    settings: TrainSettings, has_generated: bool, images: TrainingImages
) -> Iterator[tuple[str, str]]:
    """Yield the name of each setting that changes nothing, and what it got and needs."""
    for name in _departing(settings, OF_GENERATED):
        if not has_generated:
            yield name, "got no generated images; give --augmented, or leave it out"
        elif images != "all" and name in BESIDE_REAL:
            yield name, "got no real images beside the generated ones; leave it out"
        elif settings.generated_use == "first" and name in BESIDE_REAL and name != UNTIL:
            yield (
                name,
                "got generated_use=first, where a class has generated images alone; leave it out",
            )
        elif name == "generated_share" and settings.sampling not in LEVEL:
            yield (
                name,
                f"got sampling={settings.sampling}, where generated images fill classes up; it "
                f"needs {' or '.join(LEVEL)}; for fewer images set generated_ratio",
            )
    for name in _departing(settings.second_stage_options, STAGES_OF):
        if settings.second_stage not in STAGES_OF[name]:
            yield (
                f"second_stage_options.{name}",
                f"got second_stage={settings.second_stage}; it needs "
                f"{' or '.join(STAGES_OF[name])}",
            )


def _of_use(settings: TrainSettings, has_generated: bool, images: TrainingImages) -> Iterator[str]:
    """Yield why ``generated_use`` cannot be what it is, and what to do."""
    if not _departing(settings, ("generated_use",)):
        return
    if not has_generated:
        yield "got no generated images; give --augmented, or leave it out"
    elif images != "all":
        yield "got no real images beside the generated ones; leave it out"
    yield from unmet(settings)


def _departing(settings: Settings, names: Sequence[str] | Mapping[str, object]) -> list[str]:
    """Return which settings differ from their defaults."""
    fields = type(settings).model_fields
    return [name for name in names if getattr(settings, name) != fields[name].default]
