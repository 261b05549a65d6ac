"""Who learns from whom at which step, and how fast."""

import math
from dataclasses import dataclass
from typing import Literal

from tgn.kmdn.settings import DistillSettings
from tgn.runtime.lr_schedule import warmup_cosine_steps

NetName = Literal["head_net", "tail_net"]
OTHER: dict[NetName, NetName] = {"head_net": "tail_net", "tail_net": "head_net"}
NETS: tuple[NetName, ...] = ("head_net", "tail_net")


@dataclass(frozen=True)
class Turn:
    """One student's part in one step."""

    student: NetName
    has_teacher: bool  # the other net, frozen
    lr: float


def warmup_steps(settings: DistillSettings) -> int:
    """Return how many steps go by without a teacher, at least one."""
    return max(round(settings.steps * settings.warmup), 1)


def turns(settings: DistillSettings, step: int) -> list[Turn]:
    """Return the students of a step.

    Warm-up: both nets, without a teacher. Then ``alternating``: the tail net learns from the head
    net, then the head net from the tail net, ``rounds`` times (TGN); ``mutual``: both at every
    step (deep mutual learning, Zhang et al. 2018, arXiv 1706.00384). The learning rate follows a
    cosine of its own in every stretch of learning, counted from that student's first step.
    """
    warm = warmup_steps(settings)
    if step < warm:
        return [Turn(name, False, settings.lr * warmup_cosine_steps(step, warm)) for name in NETS]
    done, length = step - warm, settings.steps - warm
    if settings.schedule == "mutual":
        return [Turn(name, True, settings.lr * warmup_cosine_steps(done, length)) for name in NETS]
    stretch = math.ceil(length / (2 * settings.rounds))
    student: NetName = "tail_net" if (done // stretch) % 2 == 0 else "head_net"
    return [Turn(student, True, settings.lr * warmup_cosine_steps(done % stretch, stretch))]
