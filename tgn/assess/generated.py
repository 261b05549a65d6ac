"""What generated images that are there already would bring."""

from pathlib import Path

import torch

from tgn.assess.settings import AssessSettings
from tgn.data.manifest import active_rows
from tgn.data.runs import Run
from tgn.models.feature_cache import FeatureCache
from tgn.runtime.devices import Device
from tgn.runtime.errors import NotFoundError
from tgn.runtime.locks import kept_unchanged
from tgn.runtime.progress import Progress
from tgn.runtime.settings import ComputeSettings
from tgn.scoring.compared_sets import load_sets
from tgn.scoring.settings import UseFilterSettings
from tgn.scoring.use import judge_use, use_networks
from tgn.scoring.use_verdict import UseVerdict


def check_generated(run: Run, folder: Path) -> None:
    """Refuse a folder without images that are used.

    Raises:
        NotFoundError: see above.
    """
    if not any(active_rows(folder, run.split())):
        raise NotFoundError(
            f"no images in {folder} are used; make some: tgn generate --class all, or use those "
            "that a filter dropped: tgn filter --off"
        )


def judge_generated(
    run: Run, folder: Path, settings: AssessSettings, progress: Progress
) -> UseVerdict:
    """Return what the generated images bring at left-out training images; nothing is written.

    The rule and the numbers are those of ``tgn filter --by use``, in the features of the
    assessment, without tests of single images: all that the manifest has, or a filter kept.

    Args:
        run: whose training images are left out in turn.
        folder: images and manifest, or class folders of any generator.
        settings: of the assessment.
        progress: shows how far the work is.

    Raises:
        UserError: for class folders that are none of the run's.
    """
    given = settings.model_dump(include={"networks", "size", "symmetries", "seed", "device"})
    of_use = UseFilterSettings(**given)
    device = Device(ComputeSettings(device=settings.device, precision="float32"))
    cache = FeatureCache(run.feature_cache, device, progress)
    with kept_unchanged(folder):
        rows = list(active_rows(folder, run.split()))
        sets = load_sets(run, folder, rows, settings.bands, settings.size)
        networks = use_networks(sets, of_use)
        return judge_use(sets, torch.arange(len(rows)), networks, of_use, cache)
