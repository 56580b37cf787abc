"""Translate an environment into the options of a Ray remote function, without Ray.

Invariants: pure, apart from reading the package files that an image names; what Ray cannot honour is refused by name,
never dropped.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from math import prod
from types import MappingProxyType
from typing import Any, Final

from flyte_ray.cluster.images import map_image
from flyte_ray.errors import InvalidDeclaration, UnsupportedError
from flyte_ray.ledger.amounts import amounts, in_words
from flyte_ray.spec.devices import SHARED, Device
from flyte_ray.spec.image import Image
from flyte_ray.spec.resources import Resources, cpu_cores, memory_bytes
from flyte_ray.spec.secret import SECRETS_VAR, Secret, dump_secrets, load_secrets, secrets_from
from flyte_ray.spec.task import EnvironmentSpec

BUNDLE_VAR: Final = "FLYTE_RAY_BUNDLE"
"""Variable that tells a slot's process which code bundle it serves."""
DISK: Final = "disk_gib"
"""Custom resource for disk, in GiB; Ray measures no disk, so nodes declare it."""
PREFERENCE: Final = ("label_selector", "fallback_strategy")
"""Options by which a slot prefers nodes, and takes others where there are none."""
_ON_SPOT: Final[Mapping[str, Any]] = {
    "label_selector": {"ray.io/market-type": "spot"},
    "fallback_strategy": [{"label_selector": {}}],
}
_ACCELERATORS: Final = frozenset({"TPU", "neuron_cores", "HPU"})
_GIB: Final = 1024**3
_NO_VARS: Final[Mapping[str, str]] = MappingProxyType({})

# Names of Ray's `accelerator_type` where they differ from Flyte's.
_RAY_NAMES: Final = {
    "A100_80G": "A100-80G",
    "L40s": "L40S",
    "RTX_PRO_4500": "RTX-PRO-4500",
    "RTX_PRO_6000": "RTX-PRO-6000",
    "V5E": "TPU-V5LITEPOD",
    "V5P": "TPU-V5P",
    "V6E": "TPU-V6E",
    "MI100": "AMD-Instinct-MI100",
    "MI210": "AMD-Instinct-MI210",
    "MI250": "AMD-Instinct-MI250X-MI250",
    "MI250X": "AMD-Instinct-MI250X",
    "MI300A": "AMD-Instinct-MI300A",
    "MI300X": "AMD-Instinct-MI300X-OAM",
    "MI325X": "AMD-Instinct-MI325X-OAM",
    "MI350X": "AMD-Instinct-MI350X-OAM",
    "MI355X": "AMD-Instinct-MI355X-OAM",
    "Gaudi1": "Intel-GAUDI",
    "AppleSilicon": "Apple-Silicon",
}
_NEURON_CORES: Final = {"Inf1": 4, "Inf2": 2, "Trn1": 2, "Trn1n": 2, "Trn2": 8, "Trn2u": 8}
_CHIPS_PER_HOST: Final = {"V5E": 8, "V5P": 4, "V6E": 8}


def remote_options(
    environment: EnvironmentSpec,
    *,
    bundle_digest: str | None,
    run_env: Mapping[str, str] = _NO_VARS,
    mapped: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Compute the options with which slots of an environment are started.

    Args:
        environment: Where the tasks run.
        bundle_digest: Digest of the code bundle, set as `FLYTE_RAY_BUNDLE`; `None` for none.
        run_env: Variables of the run; they win over those of the environment, which win over the image's.
        mapped: What the image comes to (`images.map_image`), if that is known: a slot may lack the files it names.

    Returns:
        Keyword arguments for `options` of a Ray remote function: `num_cpus` (cores, 1 unless asked otherwise),
        `max_retries` (0: attempts are ours), and where asked for `num_gpus`, `memory` (bytes), `accelerator_type`,
        `resources`, `runtime_env`, and `label_selector` with `fallback_strategy`. A new dict for each call.

    Raises:
        InvalidDeclaration: A variable is no text, or cannot be handed to a container.
        UnsupportedError: The image or device needs what Ray cannot do for a slot.

    Source: Ray 2.60, `ray.remote` and `ray.runtime_env.RuntimeEnv`.

    """
    resources = environment.resources or Resources()
    cores = cpu_cores(resources.cpu)
    options: dict[str, Any] = {"num_cpus": 1 if cores is None else _whole(cores), "max_retries": 0}
    memory = memory_bytes(resources.memory)
    if memory:
        options["memory"] = memory
    custom: dict[str, float] = {}
    if resources.disk_bytes:
        # Ray counts custom resources in steps of 1e-4.
        custom[DISK] = max(_whole(round(resources.disk_bytes / _GIB, 4)), 0.0001)
    device = resources.get_device()
    if device is not None:
        _add_device(device, options, custom)
    if custom:
        options["resources"] = custom
    runtime_env = _runtime_env(environment, bundle_digest, run_env, mapped)
    if runtime_env:
        options["runtime_env"] = runtime_env
    return prefer_spot(options, environment.interruptible)


def prefer_spot(options: Mapping[str, Any], wanted: bool) -> dict[str, Any]:
    """Return options of slots that go to spot nodes where one has room, or that do not care.

    Nodes say what they are by Ray's label `ray.io/market-type`. A selector alone would wait for ever where no node has
    the label; with the fallback, which any node meets, nothing waits that would not wait without.
    """
    rest = {name: value for name, value in options.items() if name not in PREFERENCE}
    return {**rest, **_ON_SPOT} if wanted else rest


def holds_accelerator(options: Mapping[str, Any]) -> bool:
    """Whether slots with these options hold an accelerator, the memory of which only the end of a process frees."""
    return bool(options.get("num_gpus")) or not _ACCELERATORS.isdisjoint(options.get("resources") or {})


def _whole(number: float) -> float:
    """The number as an int where it is one, so that 1 and 1.0 give the same shape."""
    return int(number) if float(number).is_integer() else number


def _add_device(device: Device, options: dict[str, Any], custom: dict[str, float]) -> None:
    name = device.device.removesuffix(SHARED) if device.device else None
    if device.device_class == "TPU":
        custom["TPU"] = _chips(device)
    elif device.device_class == "NEURON":
        custom["neuron_cores"] = device.quantity * _NEURON_CORES.get(name or "", 1)
        name = "aws-neuron-core"
    elif device.device_class == "HABANA_GAUDI":
        custom["HPU"] = device.quantity
    else:
        options["num_gpus"] = device.quantity
        if device.partition:
            # Ray counts a MIG instance as one GPU and does not know its size: nodes declare it under this name.
            custom[f"{_RAY_NAMES.get(name or '', name)}-{device.partition}"] = device.quantity
    if name:
        options["accelerator_type"] = _RAY_NAMES.get(name, name)


def _chips(device: Device) -> int:
    if device.partition is None:
        return device.quantity
    chips = prod(int(side) for side in device.partition.split("x"))
    most = _CHIPS_PER_HOST.get(device.device or "", 8)
    if chips > most:
        raise UnsupportedError(
            f"A slot lives on one host, which has at most {most} chips of TPU {device.device}, got the slice "
            f"{device.partition} with {chips}. Ask for a smaller slice and call several tasks."
        )
    return chips


def _runtime_env(
    environment: EnvironmentSpec, bundle: str | None, run_env: Mapping[str, str], mapped: Mapping[str, Any] | None
) -> dict[str, Any]:
    runtime_env = dict(map_image(environment.name, environment.image).runtime_env if mapped is None else mapped)
    variables = _variables(environment, bundle, run_env, runtime_env.get("image_uri"))
    if variables:
        runtime_env["env_vars"] = variables
    return runtime_env


def _variables(
    environment: EnvironmentSpec, bundle: str | None, run_env: Mapping[str, str], ready: str | None
) -> dict[str, str]:
    of_image = environment.image.env_vars if isinstance(environment.image, Image) else {}
    variables = {**of_image, **(environment.env_vars or {}), **run_env}
    if bundle is not None:
        variables[BUNDLE_VAR] = bundle
    secrets = secrets_from(environment.secrets)
    if secrets:
        # Names alone; by them a process that was given secrets is never another environment's.
        variables[SECRETS_VAR] = dump_secrets(secrets)
    for key, value in variables.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise InvalidDeclaration(
                f"Environment '{environment.name}': variables must map str to str, got {key!r} with a value of type "
                f"{type(value).__name__}. Write the value as text."
            )
        if ready and ("'" in value or "'" in key):
            # Ray puts the values between single quotes into a shell command; the value is not shown, it may be secret.
            raise InvalidDeclaration(
                f"Environment '{environment.name}': a variable for the image {ready!r} must not contain a single "
                f"quote, got one in {key!r}. Encode the value, or read it from a file."
            )
    if ready and "'" in ready:
        raise InvalidDeclaration(f"An image's address must not contain a single quote, got {ready!r}. Correct it.")
    return dict(sorted(variables.items()))


def shape_key(options: Mapping[str, Any]) -> str:
    """Give the shape of options: slots of one shape are interchangeable.

    Args:
        options: As `remote_options` gives them.

    Returns:
        16 hex digits, the same in every process and for every order of keys.

    """
    canonical = json.dumps(options, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def secrets_in(options: Mapping[str, Any]) -> tuple[Secret, ...]:
    """Return the secrets that slots with these options are given."""
    variables = (options.get("runtime_env") or {}).get("env_vars") or {}
    return load_secrets(variables.get(SECRETS_VAR))


def without_marks(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options for people: without the variables by which our own processes find the code and secrets."""
    runtime_env = dict(options.get("runtime_env") or {})
    variables = runtime_env.pop("env_vars", None) or {}
    theirs = {name: value for name, value in variables.items() if name not in (SECRETS_VAR, BUNDLE_VAR)}
    runtime_env |= {"env_vars": theirs} if theirs else {}
    rest = {name: value for name, value in options.items() if name != "runtime_env"}
    return {**rest, "runtime_env": runtime_env} if runtime_env else rest


def variables_in(options: str) -> dict[str, str]:
    """Return the variables that the user has given to slots with these options, which are JSON."""
    found: dict[str, str] = (json.loads(options).get("runtime_env") or {}).get("env_vars") or {}
    return {name: value for name, value in found.items() if name not in (SECRETS_VAR, BUNDLE_VAR)}


def fits(options: Mapping[str, Any], node_resources: Mapping[str, float], node: str = "the largest node") -> list[str]:
    """Say what a node lacks for a slot, because Ray would leave such a slot pending for ever.

    Args:
        options: As `remote_options` gives them.
        node_resources: Total resources of the largest node, as Ray names them (`CPU`, `GPU`, `memory` in bytes,
            `accelerator_type:X`, custom ones); free or not does not matter.
        node: What to call that node.

    Returns:
        A sentence for each resource that is lacking; empty if the slot fits.

    """
    lacking = []
    needed: list[tuple[str, str, float]] = [
        ("CPU", "CPU", options.get("num_cpus", 1)),
        ("GPU", "GPU", options.get("num_gpus", 0)),
        *((name, name, amount) for name, amount in sorted(options.get("resources", {}).items())),
    ]
    for key, unit, amount in needed:
        has = node_resources.get(key, 0)
        if amount > has:
            sentence = f"needs {amount:g} {unit}, {node} has {has:g}"
            if key not in ("CPU", "GPU") and not has:
                sentence += f" (nodes declare it: ray start --resources='{json.dumps({key: amount})}')"
            lacking.append(sentence)
    memory, has_memory = options.get("memory", 0), node_resources.get("memory", 0)
    if memory > has_memory:
        lacking.append(f"needs {memory / _GIB:.1f} GiB of memory, {node} has {has_memory / _GIB:.1f} GiB")
    accelerator = options.get("accelerator_type")
    if accelerator and not node_resources.get(f"accelerator_type:{accelerator}"):
        others = [name.split(":", 1)[1] for name in node_resources if name.startswith("accelerator_type:")]
        lacking.append(f"needs an accelerator of type {accelerator}, {node} has {' and '.join(others) or 'none'}")
    return lacking


def scarcity(
    needs: Mapping[str, Any], free: Mapping[str, float], total: Mapping[str, float], pool: str | None = None
) -> str:
    """Say for what a slot waits: `needs 1 GPU, 0 of 2 free`, or for its process to start.

    Args:
        needs: Its Ray options.
        free: What the cluster's nodes have left, by Ray's names of resources; memory in bytes.
        total: What they have.
        pool: The environment whose processes are kept, if a slot may get one of them.

    """
    taken = amounts(needs)
    units = {"memory": 1024**3}
    scarce = [
        f"{in_words({name: amount})}, {free.get(name, 0) / units.get(name, 1):.3g} of"
        f" {total.get(name, 0) / units.get(name, 1):.3g} free"
        for name, amount in taken.items()
        if amount > free.get(name, 0)
    ]
    if scarce:
        return f"needs {'; '.join(scarce)}"
    return f"a process with {in_words(taken)} starts" if pool is None else f"a process that '{pool}' keeps is free"
