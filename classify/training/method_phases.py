"""The training phases of each method, with the second stage behind them."""

from collections.abc import Callable, Mapping

from classify.methods import cross_modality, feature_mse, logit_kd, lsh, t2fts
from classify.methods.generated_features import GeneratedFeatures
from classify.methods.phases import Phase, RunFacts, plain
from classify.methods.second_stage import with_second_stage
from classify.training.settings import MethodName, TrainSettings

PHASES_OF: Mapping[MethodName, Callable[[TrainSettings, RunFacts], tuple[Phase, ...]]] = {
    "plain": lambda settings, facts: (_plain(settings),),
    "logit-kd": lambda settings, facts: logit_kd.phases(settings.logit_kd, facts),
    "feature-mse": lambda settings, facts: feature_mse.phases(settings.feature_mse, facts),
    "kmdn": lambda settings, facts: feature_mse.kmdn_phases(settings.feature_mse, facts),
    "t2fts": lambda settings, facts: t2fts.phases(settings.t2fts, facts),
    "cross-modality": lambda s, facts: cross_modality.phases(s.cross_modality, facts),
    "lsh": lambda settings, facts: lsh.phases(settings.lsh, facts),
}


def _plain(settings: TrainSettings) -> Phase:
    if settings.generated_use != "features":
        return Phase("", plain)
    weight = settings.generated_weight
    return Phase("", lambda inputs: GeneratedFeatures(inputs, weight))


def phases_of(settings: TrainSettings, facts: RunFacts) -> tuple[Phase, ...]:
    """Return the phases in their order; the last one makes the result.

    Raises:
        UserError: if the method lacks a teacher or a folder.
    """
    phases = PHASES_OF[settings.method](settings, facts)
    return with_second_stage(phases, settings.second_stage, settings.second_stage_options)
