"""Resources and devices: Flyte's forms and refusals."""

from __future__ import annotations

from typing import Any

import pytest

from flyte_ray.errors import InvalidDeclaration
from flyte_ray.spec.resources import (
    AMD_GPU,
    APPLE_SILICON,
    GPU,
    HABANA_GAUDI,
    TPU,
    Device,
    Neuron,
    Resources,
    cpu_cores,
    memory_bytes,
)


@pytest.mark.parametrize(
    ("spec", "cores"), [(None, None), (2, 2.0), (0, 0.0), (0.5, 0.5), ("2", 2.0), ("500m", 0.5), ((1, 4), 1.0)]
)
def test_cpu_is_read_in_every_form(spec: Any, cores: float | None) -> None:
    assert cpu_cores(spec) == cores


@pytest.mark.parametrize(
    ("spec", "size"),
    [
        (None, None),
        ("1Gi", 2**30),
        ("512Mi", 2**29),
        ("2G", 2 * 10**9),
        ("1.5Ki", 1536),
        ("1024", 1024),
        (("1k", "2k"), 1000),
    ],
)
def test_memory_is_read_in_every_form(spec: Any, size: int | None) -> None:
    assert memory_bytes(spec) == size


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("cpu", value) for value in (-1, "two", "-1", (1, None), (1, 2, 3), (1, "x"), True, float("nan"))),
        *(("memory", value) for value in (1024, "4Gb", "", "-1Gi", ("1Gi", None), ("1Gi", "x"), "100m")),
        *(("gpu", value) for value in (-1, 1.5, True, "H100", "H100:9", "A2:2", "T4:0", "K80:1", "T4:x", ("T4", 1))),
        ("disk", "ten"),
        ("disk", 10),
        ("shm", "big"),
    ],
)
def test_a_wrong_amount_names_its_field(field: str, value: Any) -> None:
    with pytest.raises(InvalidDeclaration, match=rf"Resources\.{field}"):
        Resources(**{field: value})


@pytest.mark.parametrize(
    ("gpu", "device"),
    [
        (None, None),
        (0, None),
        (2, Device(2, "GPU")),
        ("A100:8", Device(8, "GPU", "A100")),
        ("A100_80G:2", Device(2, "GPU", "A100_80G")),
        ("T4 shared:1", Device(1, "GPU", "T4 shared")),
        ("RTX_PRO_6000:2", Device(2, "GPU", "RTX_PRO_6000")),
        ("Trn1:16", Device(16, "NEURON", "Trn1")),
        ("Inf2:12", Device(12, "NEURON", "Inf2")),
        ("MI300X:1", Device(1, "AMD_GPU", "MI300X")),
        ("Gaudi1:1", Device(1, "HABANA_GAUDI", "Gaudi1")),
        ("AppleSilicon", Device(1, "APPLE_SILICON", "AppleSilicon")),
        ("AppleSilicon:1", Device(1, "APPLE_SILICON", "AppleSilicon")),
        (Device(3, "GPU", "Own"), Device(3, "GPU", "Own")),
    ],
)
def test_accelerators_are_read_in_every_form(gpu: Any, device: Device | None) -> None:
    assert Resources(gpu=gpu).get_device() == device


def test_an_old_spelling_is_read_with_a_warning() -> None:
    with pytest.warns(DeprecationWarning, match="A100_80G"):
        resources = Resources(gpu="A100 80G:4")
    with pytest.warns(DeprecationWarning):
        assert resources.get_device() == Device(4, "GPU", "A100_80G")


def test_factories_give_devices() -> None:
    assert GPU("H100", 1, "1g.10gb") == Device(1, "GPU", "H100", "1g.10gb")
    assert TPU("V5P", "2x2x1") == Device(1, "TPU", "V5P", "2x2x1")
    assert Neuron("Trn2") == Device(1, "NEURON", "Trn2")
    assert AMD_GPU("MI210") == Device(1, "AMD_GPU", "MI210")
    assert HABANA_GAUDI("Gaudi1") == Device(1, "HABANA_GAUDI", "Gaudi1")
    assert APPLE_SILICON() == Device(1, "APPLE_SILICON", "AppleSilicon")


@pytest.mark.parametrize(
    "build",
    [
        lambda: GPU("K80", 1),
        lambda: GPU("T4", 9),
        lambda: GPU("T4", 0),
        lambda: GPU("T4", 1, "1g.5gb"),
        lambda: GPU("A100", 1, "1g.10gb"),
        lambda: TPU("V4"),
        lambda: TPU("V6E", "3x3"),
        lambda: Neuron("Inf9"),
        lambda: AMD_GPU("MI1"),
        lambda: HABANA_GAUDI("Gaudi9"),
        lambda: Device(0, "GPU"),
    ],
)
def test_a_device_outside_the_list_is_refused(build: Any) -> None:
    with pytest.raises(InvalidDeclaration, match="must be"):
        build()


def test_shared_memory_auto_is_the_empty_text() -> None:
    assert Resources(shm="auto").get_shared_memory() == ""
    assert Resources(shm="1Gi").get_shared_memory() == "1Gi"
    assert Resources().get_shared_memory() is None
    assert Resources(disk="10Gi").disk_bytes == 10 * 2**30
