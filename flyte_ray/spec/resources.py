"""Resources of an environment or task, and how their sizes are read.

Of a (request, limit) pair the request counts: Ray reserves, it does not limit.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, Final, Literal

from flyte_ray.errors import InvalidDeclaration
from flyte_ray.spec.devices import (
    AMD_GPU,
    APPLE_SILICON,
    GPU,
    HABANA_GAUDI,
    TPU,
    Device,
    DeviceClass,
    Neuron,
    parse_device,
)

__all__ = [
    "AMD_GPU",
    "APPLE_SILICON",
    "GPU",
    "HABANA_GAUDI",
    "TPU",
    "Device",
    "DeviceClass",
    "Neuron",
    "Resources",
    "cpu_cores",
    "memory_bytes",
    "memory_limit_bytes",
]

CPUAmount = int | float | str
_CPU: Final = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(m?)")
_SIZE: Final = re.compile(r"(\d+(?:\.\d*)?|\.\d+)([kKMGTPE]i?|)")
_POWERS: Final = {"k": 1, "K": 1, "M": 2, "G": 3, "T": 4, "P": 5, "E": 6}


@dataclass(frozen=True)
class Resources:
    """What an action reserves.

    Raises:
        InvalidDeclaration: A field has another form than its docstring allows; the message names it.

    Source: `flyte.Resources`.

    """

    cpu: CPUAmount | tuple[CPUAmount, CPUAmount] | None = None
    """Cores as a number, a text such as `500m`, or a pair (request, limit)."""
    memory: str | tuple[str, str] | None = None
    """Size with unit such as `4Gi`, or a pair (request, limit)."""
    gpu: str | int | Device | None = None
    """A count of any type (0 is none), `TYPE:N` such as `A100:4`, or a `Device`."""
    disk: str | None = None
    """Size with unit."""
    shm: str | Literal["auto"] | None = None
    """Size with unit, or `auto`. Checked alone: slots share their node's `/dev/shm`, of which nothing is reserved."""

    def __post_init__(self) -> None:
        """Check each field by reading it."""
        cpu_cores(self.cpu)
        memory_bytes(self.memory)
        if self.disk is not None:
            _parse_size("disk", self.disk)
        if self.shm is not None and self.shm != "auto":
            _parse_size("shm", self.shm)
        self._check_gpu()

    def _check_gpu(self) -> None:
        if self.gpu is None or isinstance(self.gpu, Device):
            return
        if isinstance(self.gpu, str):
            parse_device(self.gpu)
        elif isinstance(self.gpu, bool) or not isinstance(self.gpu, int):
            raise InvalidDeclaration(
                f"Resources.gpu must be a count, 'TYPE:N' or a Device, got {type(self.gpu).__name__} {self.gpu!r}. "
                f"Write for example 'A100:4'."
            )
        elif self.gpu < 0:
            raise InvalidDeclaration(f"Resources.gpu must be at least 0, got {self.gpu!r}. Write 0 for none.")

    def get_device(self) -> Device | None:
        """Give the accelerators asked for; `None` for none."""
        if self.gpu is None or isinstance(self.gpu, Device):
            return self.gpu
        if isinstance(self.gpu, str):
            return parse_device(self.gpu)
        return Device(self.gpu, "GPU") if self.gpu else None

    def get_shared_memory(self) -> str | None:
        """Give the shared memory asked for; the empty text stands for as much as the node has."""
        return "" if self.shm == "auto" else self.shm

    @property
    def disk_bytes(self) -> int | None:
        """Disk in bytes; `None` if not asked for."""
        return None if self.disk is None else _parse_size("disk", self.disk)


def _pair(name: str, spec: Any) -> tuple[Any, ...]:
    if not isinstance(spec, tuple):
        return (spec,)
    if len(spec) != 2 or None in spec:
        raise InvalidDeclaration(
            f"Resources.{name} as a pair must be exactly (request, limit), got {spec!r}. Or write one value."
        )
    return spec


def cpu_cores(spec: CPUAmount | tuple[CPUAmount, CPUAmount] | None) -> float | None:
    """Read an amount of CPU.

    Args:
        spec: Number of cores, text such as `2` or `500m`, or a pair, of which the first counts.

    Returns:
        Cores, at least 0; `None` for `None`.

    Raises:
        InvalidDeclaration: `spec` has another form, or is negative.

    """
    if spec is None:
        return None
    # Both are read, so that a wrong limit is refused although only the request counts.
    amounts = [_parse_cpu(value) for value in _pair("cpu", spec)]
    return amounts[0]


def memory_bytes(spec: str | tuple[str, str] | None) -> int | None:
    """Read an amount of memory.

    Args:
        spec: Size with unit (`Ki Mi Gi Ti Pi Ei` powers of 1024, `k M G T P E` powers of 1000), or a pair, of which
            the first counts. A text without a unit is bytes.

    Returns:
        Bytes, rounded up; `None` for `None`.

    Raises:
        InvalidDeclaration: `spec` has another form; numbers are refused because their unit cannot be known.

    """
    if spec is None:
        return None
    sizes = [_parse_size("memory", value) for value in _pair("memory", spec)]
    return sizes[0]


def memory_limit_bytes(spec: str | tuple[str, str] | None) -> int | None:
    """Read what may be used at most, in bytes: the limit of a pair (request, limit), else the one amount.

    Raises:
        InvalidDeclaration: As `memory_bytes`.

    """
    return None if spec is None else max(_parse_size("memory", value) for value in _pair("memory", spec))


def _parse_cpu(value: object) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) and value >= 0:
        return float(value)
    match = _CPU.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise InvalidDeclaration(
            f"Resources.cpu must be a number of cores of at least 0, or a text such as '500m', got {value!r}. "
            f"Write 0.5 or '500m' for half a core."
        )
    return float(match[1]) / (1000 if match[2] else 1)


def _parse_size(name: str, value: object) -> int:
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise InvalidDeclaration(
            f"Resources.{name} must be a size such as '4Gi', got {value!r}. Write the unit: '512Mi', '4Gi', '2G'."
        )
    unit = match[2]
    scale = (1024 if unit.endswith("i") else 1000) ** _POWERS[unit[0]] if unit else 1
    return math.ceil(float(match[1]) * scale)
