"""What a trained classifier is called: by its recipe, or by its settings; imports nothing heavy."""

from classify.training.recipes import (
    BASES,
    BEST,
    GENERATED,
    NEUTRAL,
    USE,
    departures,
    settings_of,
)
from classify.training.settings import TrainSettings
from classify.training.uses.names import BESIDE


def recipe_name(settings: TrainSettings, augmented: bool) -> str:
    """Name the classifier by the settings that tell recipes apart, e.g. ``balanced+generated``.

    The name of a recipe that sets more than its name would say is left to the recipe.
    """
    parts = [
        settings.method if settings.method != "plain" else "",
        _start_name(settings) if settings.start == "probe" else "",
        settings.tuning if settings.tuning != "all" else "",
        {"random": "", "class-balanced": "balanced"}.get(settings.sampling, settings.sampling),
        settings.loss if settings.loss != "ce" else "",
        f"balance-{settings.balance:g}" if settings.balance is not None else "",
        settings.reweighting if settings.reweighting != "none" else "",
        settings.mixing if settings.mixing != "none" else "",
        settings.second_stage if settings.second_stage != "none" else "",
        "los" if settings.second_stage_options.label_smoothing else "",
    ]
    named = [part for part in parts if part] or ["ce"]
    if (name := "+".join(named)) in BASES:
        others = departures(settings, BASES[name].settings)
        named += [str(own) for _, own in others.values()]
    return "+".join(named) + _suffix(settings, augmented)


def _suffix(settings: TrainSettings, augmented: bool) -> str:
    use = settings.generated_use
    return (GENERATED if use == BESIDE else USE + use) * augmented


def _start_name(settings: TrainSettings) -> str:
    departs = departures(settings, settings_of(BASES[BEST], settings.arch))
    return "from-probe" if departs else BEST


def trained_name(settings: TrainSettings, chosen: str | None, augmented: bool) -> str:
    """Name a classifier by its recipe, or by its settings where they depart from the recipe's."""
    if chosen is None:
        return recipe_name(settings, augmented)
    expected = {**NEUTRAL, **settings_of(BASES[chosen], settings.arch)}
    departs = departures(settings, expected)
    return recipe_name(settings, augmented) if departs else chosen + _suffix(settings, augmented)
