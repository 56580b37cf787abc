"""From an environment to Ray's options."""

from __future__ import annotations

import json
from typing import Any

import pytest

from flyte_ray.cluster.autoscaling import slots_on
from flyte_ray.cluster.options import BUNDLE_VAR, fits, holds_accelerator, prefer_spot, remote_options, shape_key
from flyte_ray.errors import InvalidDeclaration, UnsupportedError
from flyte_ray.spec.image import Image
from flyte_ray.spec.resources import GPU, TPU, Device, Resources
from flyte_ray.spec.task import EnvironmentSpec

BASE = Image.from_debian_base()
READY = Image.from_base("repo/name:1")


def options_of(bundle: str | None = None, run_env: dict[str, str] | None = None, **fields: Any) -> dict[str, Any]:
    return remote_options(EnvironmentSpec("env", **fields), bundle_digest=bundle, run_env=run_env or {})


def test_a_plain_environment_takes_one_cpu_and_nothing_else() -> None:
    assert options_of() == options_of(image=None) == options_of(image=BASE) == {"num_cpus": 1, "max_retries": 0}


def test_amounts_are_translated() -> None:
    options = options_of(resources=Resources(cpu=("500m", 2), memory="1Gi", disk="10Gi"))
    assert options == {"num_cpus": 0.5, "max_retries": 0, "memory": 2**30, "resources": {"disk_gib": 10}}
    assert options_of(resources=Resources(cpu=0))["num_cpus"] == 0


@pytest.mark.parametrize(
    ("gpu", "expected"),
    [
        (2, {"num_gpus": 2}),
        (0, {}),
        ("H100:8", {"num_gpus": 8, "accelerator_type": "H100"}),
        ("A100:1", {"num_gpus": 1, "accelerator_type": "A100"}),
        ("A100_80G:1", {"num_gpus": 1, "accelerator_type": "A100-80G"}),
        ("L40s:1", {"num_gpus": 1, "accelerator_type": "L40S"}),
        ("T4 shared:1", {"num_gpus": 1, "accelerator_type": "T4"}),
        ("MI300X:1", {"num_gpus": 1, "accelerator_type": "AMD-Instinct-MI300X-OAM"}),
        ("Gaudi1:1", {"resources": {"HPU": 1}, "accelerator_type": "Intel-GAUDI"}),
        ("Trn1:4", {"resources": {"neuron_cores": 8}, "accelerator_type": "aws-neuron-core"}),
        (GPU("H100", 1, "1g.10gb"), {"num_gpus": 1, "accelerator_type": "H100", "resources": {"H100-1g.10gb": 1}}),
        (TPU("V6E", "2x4"), {"resources": {"TPU": 8}, "accelerator_type": "TPU-V6E"}),
        (TPU("V5E"), {"resources": {"TPU": 1}, "accelerator_type": "TPU-V5LITEPOD"}),
        (Device(1, "GPU", "Own"), {"num_gpus": 1, "accelerator_type": "Own"}),
    ],
)
def test_devices_get_rays_names(gpu: Any, expected: dict[str, Any]) -> None:
    assert options_of(resources=Resources(gpu=gpu)) == {"num_cpus": 1, "max_retries": 0, **expected}


def test_a_slice_over_several_hosts_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="4x4"):
        options_of(resources=Resources(gpu=TPU("V6E", "4x4")))


def test_variables_of_the_run_win_over_environment_and_image() -> None:
    image = BASE.with_env_vars({"A": "image", "B": "image", "C": "image"})
    options = options_of("d1", {"A": "run"}, image=image, env_vars={"A": "env", "B": "env"})
    assert options["runtime_env"] == {"env_vars": {"A": "run", "B": "env", "C": "image", BUNDLE_VAR: "d1"}}


@pytest.mark.parametrize("image", ["repo/name:1", READY])
def test_a_ready_image_has_only_variables_beside_it(image: Any) -> None:
    env = options_of("d1", image=image, env_vars={"A": "1"})["runtime_env"]
    assert env == {"image_uri": "repo/name:1", "env_vars": {"A": "1", BUNDLE_VAR: "d1"}}


def test_a_quote_in_a_variable_of_a_container_is_refused_without_its_value() -> None:
    with pytest.raises(InvalidDeclaration, match="single quote.*'A'") as caught:
        options_of(image="repo/name:1", env_vars={"A": "se'cret"})
    assert "cret" not in str(caught.value)
    assert options_of(env_vars={"A": "it's"})["runtime_env"] == {"env_vars": {"A": "it's"}}


def test_a_variable_that_is_no_text_is_refused() -> None:
    with pytest.raises(InvalidDeclaration, match="'A'"):
        options_of(run_env={"A": 1})  # type: ignore[dict-item]


def test_equal_options_have_one_shape_whatever_their_order() -> None:
    options = options_of("d1", resources=Resources(cpu=2, gpu="T4:1"))
    shuffled = dict(reversed(list(options.items())))
    assert shape_key(options) == shape_key(shuffled) == shape_key(json.loads(json.dumps(options)))
    assert len(shape_key(options)) == 16
    assert shape_key(options) != shape_key(options_of("d2", resources=Resources(cpu=2, gpu="T4:1")))
    assert shape_key(options_of(resources=Resources(cpu="2"))) == shape_key(options_of(resources=Resources(cpu=2.0)))


NODE = {"CPU": 4.0, "memory": 8.0 * 2**30, "GPU": 1.0, "accelerator_type:T4": 1.0, "node:10.0.0.1": 1.0}


def test_a_slot_that_fits_lacks_nothing() -> None:
    assert fits(options_of(resources=Resources(cpu=4, memory="8Gi", gpu="T4:1")), NODE) == []


def test_what_no_node_has_is_said() -> None:
    options = options_of(resources=Resources(cpu=8, memory="16Gi", gpu="H100:2", disk="1Gi"))
    assert fits(options, NODE) == [
        "needs 8 CPU, the largest node has 4",
        "needs 2 GPU, the largest node has 1",
        "needs 1 disk_gib, the largest node has 0 (nodes declare it: ray start --resources='{\"disk_gib\": 1}')",
        "needs 16.0 GiB of memory, the largest node has 8.0 GiB",
        "needs an accelerator of type H100, the largest node has T4",
    ]
    assert fits({"num_cpus": 0, "num_gpus": 2}, {}) == ["needs 2 GPU, the largest node has 0"]


def test_ray_accepts_every_kind_of_runtime_environment() -> None:
    from ray.runtime_env import RuntimeEnv

    images = [BASE, BASE.with_pip_packages("numpy"), BASE.with_pip_packages("numpy", pre=True), READY]
    for image in images:
        env = options_of("d1", image=image)["runtime_env"]
        assert "FLYTE_RAY_BUNDLE" in RuntimeEnv(**env).serialize()


def test_ray_accepts_every_kind_of_option() -> None:
    import ray

    def nothing() -> None: ...

    for gpu in (1, "A100_80G:2", GPU("H100", 1, "1g.10gb"), TPU("V6E", "2x4"), "Trn1:4"):
        options = options_of("d1", resources=Resources(cpu=0.5, memory="1Gi", disk="10Gi", gpu=gpu))
        assert ray.remote(**options)(nothing) is not None


SPOT = {"label_selector": {"ray.io/market-type": "spot"}, "fallback_strategy": [{"label_selector": {}}]}


def test_an_interruptible_environment_prefers_spot_nodes_and_fits_where_there_are_none() -> None:
    options, plain = options_of(interruptible=True), options_of()
    assert options == {**plain, **SPOT}
    assert shape_key(options) != shape_key(plain)
    assert fits(options, NODE) == [] and slots_on(NODE, options) == 4
    assert prefer_spot(options, wanted=False) == plain


@pytest.mark.parametrize(
    ("resources", "held"),
    [
        (Resources(cpu=2, memory="1Gi", disk="1Gi"), False),
        (Resources(gpu=1), True),
        (Resources(gpu=TPU("V5E")), True),
        (Resources(gpu="Trn1:1"), True),
        (Resources(gpu="Gaudi1:1"), True),
    ],
)
def test_an_accelerator_is_known_whatever_ray_calls_it(resources: Resources, held: bool) -> None:
    assert holds_accelerator(options_of(resources=resources)) is held
