"""The schedule of KMDN: which net is the student at which step, and its learning rate."""

import math
from dataclasses import dataclass
from typing import Literal

from tgn.kmdn.settings import DistillSettings
from tgn.runtime.lr_schedule import warmup_cosine_steps

NetName = Literal["head_net", "tail_net"]
TEACHER_OF: dict[NetName, NetName] = {"head_net": "tail_net", "tail_net": "head_net"}
NETS: tuple[NetName, ...] = ("head_net", "tail_net")


@dataclass(frozen=True)
class StudentUpdate:
    """One student's update in one step."""

    student: NetName
    has_teacher: bool  # the other net, frozen
    lr: float


def warmup_steps(settings: DistillSettings) -> int:
    """Return the number of steps without a teacher, at least one."""
    return max(round(settings.steps * settings.warmup_fraction), 1)


def student_updates(settings: DistillSettings, step: int) -> list[StudentUpdate]:
    """Return the updates of a step.

    Warm-up: both nets, without a teacher. Then ``alternating``: the tail net learns from the head
    net, then the head net from the tail net, ``rounds`` times (TGN); ``mutual``: both at every
    step (deep mutual learning, Zhang et al. 2018, arXiv 1706.00384). The learning rate follows a
    cosine of its own in every phase of a student, counted from the phase's first step.

    Args:
        settings: schedule, number of steps and highest learning rate.
        step: from 0.
    """
    warm = warmup_steps(settings)
    if step < warm:
        rate = settings.rates.lr * warmup_cosine_steps(step, warm)
        return [StudentUpdate(name, False, rate) for name in NETS]
    done, length = step - warm, settings.steps - warm
    if settings.schedule == "mutual":
        rate = settings.rates.lr * warmup_cosine_steps(done, length)
        return [StudentUpdate(name, True, rate) for name in NETS]
    phase = math.ceil(length / (2 * settings.rounds))
    student: NetName = "tail_net" if (done // phase) % 2 == 0 else "head_net"
    rate = settings.rates.lr * warmup_cosine_steps(done % phase, phase)
    return [StudentUpdate(student, True, rate)]
