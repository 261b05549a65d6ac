"""What a benchmark ran on, in one line."""

import platform
from pathlib import Path

import torch


def machine() -> str:
    """Return processor, threads, GPU and torch's version."""
    return ", ".join(
        [
            _processor(),
            f"{torch.get_num_threads()} threads",
            torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU",
            f"Python {platform.python_version()}",
            f"torch {torch.__version__}",
        ]
    )


def _processor() -> str:
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text().splitlines() if facts.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
