"""Accelerators that can be asked for: the closed lists of Flyte 2 and what each entry means."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Final, Literal

from flyte_ray.errors import InvalidDeclaration

DeviceClass = Literal["GPU", "TPU", "NEURON", "AMD_GPU", "HABANA_GAUDI", "APPLE_SILICON"]

SHARED: Final = " shared"
"""Ends the name of a GPU that is shared with others, as in `T4 shared:1`."""

_UP_TO_8: Final = tuple(range(1, 9))
_GPU_QUANTITIES: Final[dict[str, tuple[int, ...]]] = {
    "A2": (1,),
    **dict.fromkeys(("A10", "A10G", "A100", "A100_80G", "B200", "H100", "H200", "L4", "L40s", "T4", "V100"), _UP_TO_8),
    "RTX_PRO_4500": (1,),
    "RTX_PRO_6000": (1, 2),
    "GB10": (1,),
}
_NEURON_QUANTITIES: Final[dict[str, tuple[int, ...]]] = {
    "Inf1": tuple(range(1, 17)),
    "Inf2": tuple(range(1, 13)),
    **dict.fromkeys(("Trn1", "Trn1n", "Trn2", "Trn2u"), (1, 4, 8, 16)),
}
_AMD_TYPES: Final = ("MI100", "MI210", "MI250", "MI250X", "MI300A", "MI300X", "MI325X", "MI350X", "MI355X")
_GAUDI_TYPES: Final = ("Gaudi1",)
_APPLE_TYPE: Final = "AppleSilicon"
_OLD_SPELLINGS: Final = {
    "A100 80G": "A100_80G",
    "RTX PRO 4500": "RTX_PRO_4500",
    "RTX PRO 6000": "RTX_PRO_6000",
}
_GPU_PARTITIONS: Final[dict[str, tuple[str, ...]]] = {
    "A100": ("1g.5gb", "2g.10gb", "3g.20gb", "4g.20gb", "7g.40gb"),
    "A100_80G": ("1g.10gb", "2g.20gb", "3g.40gb", "4g.40gb", "7g.80gb"),
    "H100": ("1g.10gb", "1g.20gb", "2g.20gb", "3g.40gb", "4g.40gb", "7g.80gb"),
    "H200": ("1g.18gb", "1g.35gb", "2g.35gb", "3g.71gb", "4g.71gb", "7g.141gb"),
    "RTX_PRO_6000": ("1g.24gb", "2g.48gb", "4g.96gb"),
}
_FLAT_SLICES: Final = ("1x1", "2x2", "2x4", "4x4", "4x8", "8x8", "8x16", "16x16")
_TPU_SLICES: Final[dict[str, tuple[str, ...]]] = {
    "V5E": _FLAT_SLICES,
    "V5P": (
        *("2x2x1", "2x2x2", "2x4x4", "4x4x4", "4x4x8", "4x8x8"),
        *("8x8x8", "8x8x16", "8x16x16", "16x16x16", "16x16x24"),
    ),
    "V6E": _FLAT_SLICES,
}


@dataclass(frozen=True)
class Device:
    """A number of accelerators of one class.

    Raises:
        InvalidDeclaration: `quantity` is below 1.

    Source: `flyte.Device`.

    """

    quantity: int
    device_class: DeviceClass
    device: str | None = None
    """Type, such as `H100`; `None`: any of the class."""
    partition: str | None = None
    """Part of a GPU (MIG, such as `1g.5gb`) or slice of TPUs (such as `2x2`)."""

    def __post_init__(self) -> None:
        """Check the quantity."""
        if not isinstance(self.quantity, int) or isinstance(self.quantity, bool) or self.quantity < 1:
            raise InvalidDeclaration(
                f"Device.quantity must be an integer of at least 1, got {self.quantity!r}. Leave gpu out for none."
            )


def _refuse(what: str, value: object, allowed: Any) -> InvalidDeclaration:
    return InvalidDeclaration(
        f"{what} must be one of {', '.join(map(str, allowed))}, got {value!r}. Choose one of these."
    )


def _current_spelling(name: str) -> str:
    current = _OLD_SPELLINGS.get(name)
    if current is None:
        return name
    warnings.warn(f"The accelerator {name!r} is now written {current!r}.", DeprecationWarning, stacklevel=5)
    return current


def GPU(device: str, quantity: int, partition: str | None = None) -> Device:
    """Ask for GPUs of one type.

    Args:
        device: Type, such as `H100` or `A100_80G`.
        quantity: 1 to 8.
        partition: MIG partition for A100, A100_80G, H100, H200 and RTX_PRO_6000, such as `1g.10gb`.

    Returns:
        The device request.

    Raises:
        InvalidDeclaration: Type, quantity or partition is not in the list.

    Source: `flyte.GPU`.

    """
    device = _current_spelling(device) if isinstance(device, str) else device
    if device not in _GPU_QUANTITIES:
        raise _refuse("GPU type", device, _GPU_QUANTITIES)
    if not isinstance(quantity, int) or isinstance(quantity, bool) or quantity not in _UP_TO_8:
        raise _refuse("GPU quantity", quantity, _UP_TO_8)
    if partition is not None:
        if device not in _GPU_PARTITIONS:
            raise _refuse("The type of a partitioned GPU", device, _GPU_PARTITIONS)
        if partition not in _GPU_PARTITIONS[device]:
            raise _refuse(f"Partition of {device}", partition, _GPU_PARTITIONS[device])
    return Device(quantity, "GPU", device, partition)


def TPU(device: str, partition: str | None = None) -> Device:
    """Ask for a TPU, or a slice such as `2x2`; raises `InvalidDeclaration` for what `flyte.TPU` does not list."""
    if device not in _TPU_SLICES:
        raise _refuse("TPU type", device, _TPU_SLICES)
    if partition is not None and partition not in _TPU_SLICES[device]:
        raise _refuse(f"Slice of {device}", partition, _TPU_SLICES[device])
    return Device(1, "TPU", device, partition)


def Neuron(device: str) -> Device:
    """Ask for one AWS Neuron chip; raises `InvalidDeclaration` for what `flyte.Neuron` does not list."""
    if device not in _NEURON_QUANTITIES:
        raise _refuse("Neuron type", device, _NEURON_QUANTITIES)
    return Device(1, "NEURON", device)


def AMD_GPU(device: str) -> Device:
    """Ask for one AMD GPU; raises `InvalidDeclaration` for what `flyte.AMD_GPU` does not list."""
    if device not in _AMD_TYPES:
        raise _refuse("AMD GPU type", device, _AMD_TYPES)
    return Device(1, "AMD_GPU", device)


def HABANA_GAUDI(device: str) -> Device:
    """Ask for one Gaudi accelerator; raises `InvalidDeclaration` for what `flyte.HABANA_GAUDI` does not list."""
    if device not in _GAUDI_TYPES:
        raise _refuse("Gaudi type", device, _GAUDI_TYPES)
    return Device(1, "HABANA_GAUDI", device)


def APPLE_SILICON() -> Device:
    """Ask for the GPU of an Apple-silicon machine."""
    return Device(1, "APPLE_SILICON", _APPLE_TYPE)


def parse_device(text: str) -> Device:
    """Read an accelerator such as `A100:4`.

    Args:
        text: `TYPE:N` from Flyte's closed list; `AppleSilicon` may stand without a number.

    Returns:
        The device request.

    Raises:
        InvalidDeclaration: The list has no such entry.

    """
    name, separator, number = text.partition(":")
    if name == _APPLE_TYPE and (not separator or number == "1"):
        return APPLE_SILICON()
    quantity = int(number) if number.isascii() and number.isdigit() else 0
    name = _current_spelling(name)
    if name.endswith(SHARED) and quantity == 1 and name[: -len(SHARED)] in _GPU_QUANTITIES:
        return Device(1, "GPU", name)
    if quantity in _GPU_QUANTITIES.get(name, ()):
        return Device(quantity, "GPU", name)
    if quantity in _NEURON_QUANTITIES.get(name, ()):
        return Device(quantity, "NEURON", name)
    if name in _AMD_TYPES and quantity == 1:
        return Device(1, "AMD_GPU", name)
    if name in _GAUDI_TYPES and quantity == 1:
        return Device(1, "HABANA_GAUDI", name)
    types = (*_GPU_QUANTITIES, *_NEURON_QUANTITIES, *_AMD_TYPES, *_GAUDI_TYPES, _APPLE_TYPE)
    raise InvalidDeclaration(
        f"Resources.gpu must be 'TYPE:N' with a type of {', '.join(types)} and a number that it comes in, "
        f"got {text!r}. Write for example 'T4:1' or 'A100:8'."
    )
