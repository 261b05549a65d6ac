"""Weights of other programs: their wrappers, prefixes, heads and bands, fitted to a network."""

import re
from collections.abc import Collection, Mapping

from torch import Tensor, nn

from tgn.runtime.checkpoints import load_strictly
from tgn.runtime.errors import UserError

# Of data parallelism, torch.compile, Lightning and detectors; in any order and number.
PREFIX = re.compile(r"(module|_orig_mod|model|net|backbone|encoder|student)\.")
# First parts of the names that last layers have: timm, torchvision, EfficientNet's ports.
HEADS = ("fc", "_fc", "classifier", "head", "heads", "head_dist", "last_linear")
AVERAGED = "n_averaged"  # a counter of torch's AveragedModel
COUNTER = "num_batches_tracked"  # which files older than torch 0.4.1 lack, and only training reads


def load_backbone(
    net: nn.Module,
    weights: Mapping[str, Tensor],
    source: str,
    head: Collection[str] = (),
    by_order: bool = False,
) -> None:
    """Load the weights of another program into everything but a network's last layer.

    Prefixes are taken off, counters of batches may be absent, and a last layer in ``weights`` is
    left out. Where the first layer sees other bands, see :func:`with_bands`.

    Args:
        net: its last layer keeps its values.
        weights: name -> tensor, as the file has them.
        source: named in errors.
        head: names of the entries of the network's last layer, if it has one.
        by_order: whether a file that has no name in common may be one whose entries stand in the
            network's order (torchvision's MobileNetV2 and the ports of EfficientNet do in timm's).

    Raises:
        UserError: for any other missing, unknown or misshapen entry.
    """
    own = net.state_dict()
    given = without_head(bare_names(weights, own, source), own, head)
    if by_order and not given.keys() & own.keys():
        given = in_order(given, {k: v for k, v in own.items() if k not in head}, source)
    given = {k: v.float() if v.is_floating_point() else v for k, v in given.items()}
    load_strictly(
        net, batch_counters(own) | with_bands(given, own) | {k: own[k] for k in head}, source
    )


def load_all(net: nn.Module, weights: Mapping[str, Tensor], source: str) -> None:
    """Load the weights of a package, in order, the last layer too.

    Raises:
        UserError: for any missing, unknown or misshapen entry.
    """
    own = net.state_dict()
    load_strictly(
        net, batch_counters(own) | with_bands(in_order(weights, own, source), own), source
    )


def bare_names(
    weights: Mapping[str, Tensor], own: Collection[str], source: str
) -> dict[str, Tensor]:
    """Take prefixes such as ``module.`` off, but for names that the network has.

    Raises:
        UserError: if two entries would get one name, as of a student and its average in one file.
    """
    found: dict[str, Tensor] = {}
    for name, value in weights.items():
        if name == AVERAGED:
            continue
        bare = name
        while bare not in own and (match := PREFIX.match(bare)):
            bare = bare[match.end() :]
        if bare in found:
            raise UserError(
                f"{source} holds two entries that could be {bare!r} ({name!r} is one); "
                "expected one network: save the one you mean"
            )
        found[bare] = value
    return found


def without_head(
    weights: Mapping[str, Tensor], own: Collection[str], head: Collection[str] = ()
) -> dict[str, Tensor]:
    """Leave out the last layer, whether it is named as the network's or in another usual way."""
    return {
        name: value
        for name, value in weights.items()
        if name not in head and (name in own or name.split(".")[0] not in HEADS)
    }


def with_bands(weights: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Fit the first convolution to other bands.

    Every band gets the sum over the file's bands divided by the number of bands, so that an image
    whose bands are all equal gives what its grey picture in the file's bands gives. The first
    convolution is the one that differs from the network's in the number of bands alone.

    Args:
        weights: name -> tensor.
        own: the network's, which say how many bands it sees.
    """
    others = [
        name for name in weights if name in own and _differs_in_bands(weights[name], own[name])
    ]
    if len(others) != 1:  # several: another network
        return dict(weights)
    (first,) = others
    return {**weights, first: _spread(weights[first], own[first].shape[1])}


def batch_counters(own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a network's counters of batches, for files that lack them."""
    return {name: value for name, value in own.items() if name.endswith(COUNTER)}


def spread_statistic(values: tuple[float, ...], bands: int) -> tuple[float, ...]:
    """Return a mean or a standard deviation a band for other bands: the average of those known."""
    return values if len(values) == bands else (sum(values) / len(values),) * bands


def in_order(
    weights: Mapping[str, Tensor], own: Mapping[str, Tensor], source: str
) -> dict[str, Tensor]:
    """Give entries the names of a network whose entries stand in the same order.

    Args:
        weights: of the same network under other names.
        own: the network's; the number of bands may be another one.
        source: named in errors.

    Returns:
        Every entry of ``own`` but its counters of batches.

    Raises:
        UserError: if numbers, shapes or the last parts of names (weight, bias, running_mean)
            differ anywhere.
    """
    ours = {name: value for name, value in own.items() if not name.endswith(COUNTER)}
    theirs = {name: value for name, value in weights.items() if not name.endswith(COUNTER)}
    found = dict(zip(ours, theirs.values(), strict=False))
    fitted = with_bands(found, ours)
    same = len(ours) == len(theirs) and all(
        ours[name].shape == fitted[name].shape and _last(name) == _last(other)
        for name, other in zip(ours, theirs, strict=True)
    )
    if not same:
        raise UserError(
            f"{source} holds {len(theirs)} entries that are not the {len(ours)} of the network, "
            "by name or in order; expected weights of the same architecture"
        )
    return found


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def _differs_in_bands(theirs: Tensor, ours: Tensor) -> bool:
    if theirs.ndim != 4 or ours.ndim != 4:
        return False
    others = (0, 2, 3)
    same = all(theirs.shape[axis] == ours.shape[axis] for axis in others)
    return same and theirs.shape[1] != ours.shape[1]


def _spread(weight: Tensor, bands: int) -> Tensor:
    """[D, known, k, k] -> [D, bands, k, k]."""
    return (weight.sum(dim=1, keepdim=True) / bands).expand(-1, bands, -1, -1).clone()
