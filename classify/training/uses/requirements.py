"""What each use of generated images needs of the other settings."""

from collections.abc import Iterator

from classify.training.settings import SMOOTHED, TrainSettings
from classify.training.uses.names import OF_CMO


def unmet(settings: TrainSettings) -> Iterator[str]:
    """Yield what ``generated_use`` got and needs, where it cannot work with the other settings."""
    use = settings.generated_use
    if use in OF_CMO and settings.mixing != "cmo":
        yield f"got mixing={settings.mixing}; {use} needs mixing=cmo"
    if use in ("soft", "features") and settings.method != "plain":
        yield f"got method={settings.method}; {use} needs method=plain"
    if use == "soft" and settings.loss not in SMOOTHED:
        yield f"got loss={settings.loss}; soft labels need {', '.join(SMOOTHED)}"
    if use == "features" and not settings.is_pretrained:
        yield "got a network without pretrained weights, which has no features to hold; see weights"
    if use == "features" and settings.tuning == "head":
        yield "got tuning=head, which trains no features"
