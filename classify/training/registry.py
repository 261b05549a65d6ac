"""The trainings that a command does, whatever the method."""

from collections.abc import Callable, Mapping

from classify.methods import cross_modality, feature_mse, logit_kd, lsh, t2fts
from classify.methods.phases import Facts, Phase, plain
from classify.methods.second_stage import finished_phases
from classify.training.settings import MethodName, TrainSettings

LAYOUTS: Mapping[MethodName, Callable[[TrainSettings, Facts], tuple[Phase, ...]]] = {
    "plain": lambda settings, facts: (Phase("", plain),),
    "logit-kd": lambda settings, facts: logit_kd.phases(settings.logit_kd, facts),
    "feature-mse": lambda settings, facts: feature_mse.phases(settings.feature_mse, facts),
    "kmdn": lambda settings, facts: feature_mse.kmdn_phases(settings.feature_mse, facts),
    "t2fts": lambda settings, facts: t2fts.phases(settings.t2fts, facts),
    "cross-modality": lambda s, facts: cross_modality.phases(s.cross_modality, facts),
    "lsh": lambda settings, facts: lsh.phases(settings.lsh, facts),
}


def phases_of(settings: TrainSettings, facts: Facts) -> tuple[Phase, ...]:
    """Return the phases in their order; the last one makes the result.

    Raises:
        UserError: if the method lacks a teacher or a folder.
    """
    phases = LAYOUTS[settings.method](settings, facts)
    return finished_phases(phases, settings.finish, settings.second)
