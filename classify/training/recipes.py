"""The recipes of ``classify compare``: named changes of the settings; imports nothing heavy."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from classify.training.settings import TrainSettings
from classify.training.uses.names import BESIDE, OTHER_USES
from tgn.runtime.config import Settings
from tgn.runtime.errors import UserError

TrainingImages = Literal["all", "real-tail", "generated-tail"]
GENERATED = "+generated"
USE = GENERATED + "-"  # lp-ft+generated-blended: with generated_use=blended
RATIO = "@"  # balanced+generated@0.5: with half of the images that fill a class up
BEST = "lp-ft"  # of the recipes without generated images (docs/results.md)
ZERO_SHOT = "clip-zero-shot"
DEFAULT_RECIPES = ("probe", "probe+generated", BEST, BEST + GENERATED)


@dataclass(frozen=True)
class Recipe:
    """Settings and images that distinguish one classifier of a comparison."""

    settings: Mapping[str, Any] = field(default_factory=dict)  # changes of the settings
    images: TrainingImages = "all"
    generated: bool = False
    probe: Mapping[str, Any] | None = None  # changes of a probe's settings: no network is trained
    zero_shot: bool = False  # CLIP with prompts: nothing is fitted at all


def _recipe(**settings: Any) -> Recipe:
    return Recipe(settings)


# What tells recipes apart, as it is where nothing is chosen.
NEUTRAL: Mapping[str, Any] = {
    "method": "plain",
    "start": "random",
    "tuning": "all",
    "sampling": "random",
    "loss": "ce",
    "balance": None,
    "reweighting": "none",
    "mixing": "none",
    "second_stage": "none",
    "second_stage_options": {"label_smoothing": 0.0},
}
BALANCED: Mapping[str, Any] = {"sampling": "class-balanced"}
# Linear probing, then fine-tuning (Kumar et al. 2022, arXiv 2202.10054): the ridge probe becomes
# the last layer, batch norms stay, rates are small; with balanced softmax and CMO.
LP_FT: Mapping[str, Any] = {
    "start": "probe",
    "loss": "balanced-softmax",
    "mixing": "cmo",
    "smallest_crop": 0.5,
    "freeze_norm": True,
    "lr": 1e-4,
    "layer_decay": 0.87,
    "test_symmetries": 8,
}
BASES = {
    "ce": Recipe(),
    BEST: Recipe(LP_FT),
    "probe": Recipe(probe={"head": "ridge"}),
    "probe-prototypes": Recipe(probe={"head": "prototypes"}),
    "probe-softmax": Recipe(probe={"head": "softmax"}),
    "probe-ensemble": Recipe(probe={"head": "ensemble"}),
    "probe-transfer": Recipe(probe={"head": "ridge", "transfer": 5}),
    "probe-softmax-transfer": Recipe(probe={"head": "softmax", "transfer": 5}),
    "balanced": _recipe(sampling="class-balanced"),
    "balanced-softmax": _recipe(loss="balanced-softmax"),
    "balance-0.5": _recipe(balance=0.5),
    "square-root": _recipe(sampling="square-root"),
    "progressive": _recipe(sampling="progressive"),
    "cb-ce": _recipe(reweighting="effective-number"),
    "focal": _recipe(loss="focal"),
    "cb-focal": _recipe(loss="focal", reweighting="effective-number"),
    "ldam-drw": _recipe(loss="ldam", reweighting="deferred"),
    "logit-adjustment": _recipe(loss="logit-adjustment"),
    "mixup": _recipe(mixing="mixup"),
    "balanced-mixup": _recipe(sampling="class-balanced", mixing="mixup"),
    "cutmix": _recipe(mixing="cutmix"),
    "remix-drw": _recipe(mixing="remix", reweighting="deferred"),
    "cmo": _recipe(mixing="cmo"),
    "balanced-softmax+cmo": _recipe(loss="balanced-softmax", mixing="cmo"),
    "crt": _recipe(second_stage="crt"),
    "los": _recipe(second_stage="crt", second_stage_options={"label_smoothing": 0.98}),
    "lws": _recipe(second_stage="lws"),
    "refit": _recipe(second_stage="ridge"),
    "lp-ft+refit": Recipe({**LP_FT, "second_stage": "ridge"}),
    # 5e-3 is what Alshammari et al. 2022 (arXiv 2203.14197) chose on CIFAR100-LT: ten times the
    # usual, so that frequent classes do not get larger weights than rare ones.
    "weight-balancing": _recipe(optimizer="sgd", weight_decay=5e-3, second_stage="maxnorm"),
    "tau-norm": _recipe(second_stage="tau-norm"),
    "ncm": _recipe(second_stage="ncm"),
    "adapters": _recipe(tuning="adapters", loss="logit-adjustment"),
    "kmdn": _recipe(method="kmdn", sampling="class-balanced"),
    "t2fts": _recipe(method="t2fts", sampling="class-balanced"),
    "logit-kd": _recipe(method="logit-kd", sampling="class-balanced"),
    "feature-mse": _recipe(method="feature-mse", sampling="class-balanced"),
    "lsh": _recipe(method="lsh", sampling="class-balanced"),
    "cross-modality": _recipe(method="cross-modality", sampling="class-balanced"),
}
RECIPES = {
    **BASES,
    **{name + GENERATED: replace(base, generated=True) for name, base in BASES.items()},
    # In the first half every class has generated images only, in the second real ones only.
    "generated-first": Recipe(
        {**BALANCED, "generated_use": "first", "generated_until": 0.5}, generated=True
    ),
    ZERO_SHOT: Recipe(probe={}, zero_shot=True),
    # Classification accuracy score: tail accuracy of the second against that of the first.
    "real-tail-only": Recipe(BALANCED, "real-tail"),
    "generated-tail-only": Recipe(BALANCED, "generated-tail", generated=True),
}


def recipe(name: str) -> Recipe:
    """Return the recipe of a checked name, see :func:`check_recipes`."""
    base, _, ratio = name.partition(RATIO)
    base, _, use = base.partition(USE)
    found = RECIPES[base + GENERATED] if use else RECIPES[base]
    changes: dict[str, Any] = {"generated_use": use} if use else {}
    if ratio:
        changes["generated_ratio"] = float(ratio)
    return replace(found, settings={**found.settings, **changes})


def have_generated(names: Sequence[str]) -> bool:
    """Whether one of the recipes, by checked names, uses generated images."""
    return any(recipe(name).generated for name in names)


def settings_of(found: Recipe, arch: str) -> Mapping[str, Any]:
    """Return the settings of a recipe; freeze_norm only for a network that has batch norms."""
    if "freeze_norm" not in found.settings:
        return found.settings
    from tgn.models.backbones import has_batch_norms  # seconds to import

    without = {name: value for name, value in found.settings.items() if name != "freeze_norm"}
    return found.settings if has_batch_norms(arch) else without


@contextmanager
def naming_recipe(name: str, remedy: str = "") -> Iterator[None]:
    """Name the recipe in what is said of a user's mistake."""
    try:
        yield
    except UserError as error:
        raise type(error)(f"recipe {name}: {error}{remedy}") from None


def default_recipe(given: Mapping[str, Any]) -> str | None:
    """Return the recipe of a training whose settings choose none: ``lp-ft`` for pretrained nets.

    Args:
        given: settings that were given a value, see :meth:`Settings.joined`.

    Raises:
        UserError: if they are not valid.
    """
    settings = TrainSettings.joined(given)
    chooses = not NEUTRAL.keys().isdisjoint(settings.model_fields_set)
    return BEST if settings.is_pretrained and not chooses else None


def with_recipe(given: Mapping[str, Any], name: str) -> TrainSettings:
    """Return the settings of a training by a recipe; what was given stays.

    Args:
        given: settings that were given a value, see :meth:`Settings.joined`.
        name: of the recipe.

    Raises:
        UserError: for an unknown recipe, one that is no training of all real images, or settings
            that do not go with it.
    """
    found = BASES.get(name)
    if found is None or found.probe is not None:
        valid = ", ".join(known for known, one in BASES.items() if one.probe is None)
        raise UserError(f"--recipe got {name!r}; valid: {valid}; for probes: classify probe")
    arch = str(given.get("arch", TrainSettings.model_fields["arch"].default))
    with naming_recipe(name, "; or choose another with --recipe"):
        return TrainSettings.joined(settings_of(found, arch), given)


def with_recipe_over(settings: TrainSettings, name: str) -> TrainSettings:
    """Return the settings of a training of a comparison, where recipes change the common settings.

    Args:
        settings: common to all recipes.
        name: of a checked recipe.

    Raises:
        UserError: if a setting was given that the recipe sets otherwise, also by leaving it at its
            neutral value, or that does not go with it.
    """
    found = recipe(name)
    changes = settings_of(found, settings.arch)
    meant = {**NEUTRAL, "generated_use": BESIDE, **changes} if found.probe is None else changes
    with naming_recipe(name):
        for path, (wanted, ours) in departures(settings, meant).items():
            if _was_given(settings, path):
                raise UserError(
                    f"sets {path}={wanted}, but {ours} was given; leave the setting or the recipe "
                    "out"
                )
        return settings.with_changes(changes)


def departures(
    settings: Settings, expected: Mapping[str, Any], within: str = ""
) -> dict[str, tuple[Any, Any]]:
    """Return the settings that differ: path -> expected and own value."""
    found: dict[str, tuple[Any, Any]] = {}
    for name, value in expected.items():
        own = getattr(settings, name)
        if isinstance(value, Mapping):
            found |= departures(own, value, f"{within}{name}.")
        elif own != value:
            found[within + name] = value, own
    return found


def _was_given(settings: Settings, path: str) -> bool:
    name, _, rest = path.partition(".")
    given = name in settings.model_fields_set
    return given and (not rest or _was_given(getattr(settings, name), rest))


def check_recipes(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names: ``NAME``, ``NAME+generated`` or ``NAME+generated-USE``, also with ``@R``.

    USE is a value of ``generated_use``, R of ``generated_ratio``.

    Raises:
        UserError: for an unknown name or none, listing the valid ones.
    """
    unknown = [name for name in names if not _is_known(name)]
    if unknown or not names:
        valid = ", ".join([*BASES, *(n for n in RECIPES if n not in BASES and GENERATED not in n)])
        uses = ", ".join(OTHER_USES)
        raise UserError(
            f"--recipes got {unknown or 'nothing'}; valid: {valid}, each also as NAME{GENERATED} "
            f"or NAME{GENERATED}{RATIO}0.5; but for probes also NAME{USE}USE, with one of {uses}"
        )
    return tuple(names)


def _is_known(name: str) -> bool:
    whole, has_ratio, ratio = name.partition(RATIO)
    base, has_use, use = whole.partition(USE)
    if has_use and (base not in BASES or BASES[base].probe is not None or use not in OTHER_USES):
        return False
    if not has_use and base not in RECIPES:
        return False
    number = ratio.replace(".", "", 1).isdecimal() and float(ratio) > 0
    return not has_ratio or (number and recipe(whole).generated)


def with_ratios(names: Sequence[str], ratios: Sequence[float]) -> list[str]:
    """Return the names; those with generated images once for each ratio, as ``NAME@R``.

    Raises:
        UserError: for a ratio that is not positive, or if no recipe has generated images.
    """
    if bad := [ratio for ratio in ratios if not ratio > 0]:
        raise UserError(f"--ratio got {bad[0]}, expected numbers > 0, e.g. 0.25,0.5,1,2")
    if not ratios:
        return list(names)
    swept = [name for name in names if RATIO not in name and recipe(name).generated]
    if not swept:
        raise UserError(f"--ratio got no recipe with generated images; add NAME{GENERATED}")
    return [
        each
        for name in names
        for each in ([f"{name}{RATIO}{r:g}" for r in ratios] if name in swept else [name])
    ]
