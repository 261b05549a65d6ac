"""Where the arithmetic runs: device, precision and processes, as accelerate sees them."""

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from tgn.runtime.bf16_speed import cpu_is_faster_in_bf16
from tgn.runtime.errors import UserError
from tgn.runtime.memory import keep_freed_memory
from tgn.runtime.settings import ComputeSettings
from tgn.runtime.sync_batchnorm import share_batch_statistics


class Device:
    """A thin view of :class:`accelerate.Accelerator`.

    Launched by ``accelerate launch`` on P processes, each process works on its slice of every
    global batch and gradients are averaged, so the result is that of one process.
    """

    def __init__(self, settings: ComputeSettings) -> None:
        if settings.device == "cuda" and not torch.cuda.is_available():
            raise UserError("--device cuda: no CUDA device is visible; use --device cpu")
        from accelerate import Accelerator  # a second to import: --help must not wait for it

        _forget_other_device(settings.device == "cpu")
        # Precision is not accelerate's to keep: it is one for the whole process there.
        self.accelerator = Accelerator(cpu=settings.device == "cpu")
        self._may_choose = settings.precision == "auto"
        self.precision = self._fastest(settings) if self._may_choose else settings.precision
        if self.torch_device.type == "cpu":
            keep_freed_memory()

    def _fastest(self, settings: ComputeSettings) -> str:
        """Return the precision that the main process finds the fastest: all compute alike."""
        found = ["bf16" if _has_fast_bf16(settings.device) else "float32"]
        if self.processes > 1:
            from accelerate.utils import broadcast_object_list

            broadcast_object_list(found)
        return found[0]

    @property
    def torch_device(self) -> torch.device:
        """The torch device of this process."""
        return self.accelerator.device

    @property
    def is_gpu(self) -> bool:
        """Whether arithmetic runs beside the CPU, not on it."""
        return self.torch_device.type != "cpu"

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and shows progress."""
        return self.accelerator.is_main_process

    @property
    def rank(self) -> int:
        """Number of this process among ``processes``."""
        return self.accelerator.process_index

    @property
    def processes(self) -> int:
        """How many processes work on the job."""
        return self.accelerator.num_processes

    def autocast(self) -> AbstractContextManager[Any]:
        """Return the precision context of forward passes."""
        enabled = self.precision == "bf16"
        return torch.autocast(self.torch_device.type, torch.bfloat16, enabled=enabled)

    def put(self, images: Tensor) -> Tensor:
        """Move images to the device in channels-last layout; bytes go four times as fast."""
        if self.torch_device.type == "cuda":
            images = images.pin_memory()  # else the copy waits for everything that runs there
        return images.to(self.torch_device, non_blocking=True, memory_format=torch.channels_last)

    def move(self, net: nn.Module) -> Any:
        """Move a network to the device, channels last; other processes need not do the same.

        With ``precision=auto`` a network with depthwise convolutions stays in float32 on a CPU: in
        bf16 their backward pass takes two to three times as long (scripts/benchmarks/precision.py).
        """
        if self._may_choose and self.precision == "bf16" and not self.is_gpu:
            module: Any
            for module in net.modules():
                if hasattr(module, "in_float32"):
                    module.in_float32 = has_depthwise(module)
        return net.to(self.torch_device).to(memory_format=torch.channels_last)

    def place(self, net: nn.Module) -> Any:
        """Move a network to the device and make it equal on all processes, which all must call."""
        net = self.move(net)
        if self.processes > 1:
            from accelerate.utils import broadcast

            net = share_batch_statistics(net)
            broadcast(list(net.state_dict().values()))
        return net

    def mine(self, rows: Tensor) -> Tensor:
        """Return this process's slice of a global batch of row numbers.

        Raises:
            UserError: if the batch cannot be dealt out evenly, as equal means need.
        """
        if len(rows) % self.processes:
            raise UserError(
                f"batch_size {len(rows)} cannot be dealt out to {self.processes} processes; "
                "take a multiple"
            )
        return rows.chunk(self.processes)[self.rank]

    def own_rows(self, size: int) -> Tensor:
        """Return which rows of a global batch are this process's; see :meth:`mine`."""
        return self.mine(torch.arange(size))

    def total(self, values: Tensor) -> Tensor:
        """Return the sum of the processes' values; alone, the values."""
        if self.processes == 1:
            return values
        return self.accelerator.reduce(values, reduction="sum")

    def average(self, values: Tensor) -> Tensor:
        """Return the mean of the processes' values."""
        return self.total(values) / self.processes

    def mean(self, values: Mapping[str, Tensor]) -> dict[str, float]:
        """Return the means of the processes' scalars; all must ask for the same names."""
        stacked = torch.stack([value.detach().float() for value in values.values()])
        return dict(zip(values, self.average(stacked).tolist(), strict=True))

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Average the gradients of all processes; does nothing alone."""
        if self.processes == 1:
            return
        for parameter in parameters:
            if parameter.grad is not None:
                parameter.grad = self.accelerator.reduce(parameter.grad, reduction="mean")

    def precision_of(self, net: nn.Module) -> str:
        """Return the precision in which a network runs, once it is on the device."""
        return "float32" if getattr(net, "in_float32", False) else self.precision

    def wait(self) -> None:
        """Wait until all processes are here."""
        self.accelerator.wait_for_everyone()


def has_depthwise(net: nn.Module) -> bool:
    """Return whether a network has convolutions of one channel each."""
    convolutions = (module for module in net.modules() if isinstance(module, nn.Conv2d))
    return any(layer.groups == layer.in_channels > 1 for layer in convolutions)


def _forget_other_device(cpu: bool) -> None:
    """Let accelerate choose anew where it holds a GPU and the CPU is wanted, or the reverse.

    It keeps one device for the whole process, and a process may run several verbs.
    """
    from accelerate.state import AcceleratorState, PartialState

    if not PartialState._shared_state or not torch.cuda.is_available():
        return
    held = PartialState()
    if not held.use_distributed and (held.device.type == "cpu") != cpu:
        AcceleratorState._reset_state(reset_partial_state=True)


def _has_fast_bf16(device: str) -> bool:
    if device != "cpu" and torch.cuda.is_available():
        return torch.cuda.is_bf16_supported()
    return cpu_is_faster_in_bf16()
