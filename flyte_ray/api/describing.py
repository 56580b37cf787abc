"""Describe a declared task for the record, so that others can call it without its code.

Invariant: equal declarations with equal code give equal digests, in every process.
"""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from flyte_ray.api.preparing import map_images
from flyte_ray.cluster.bundle import find_base
from flyte_ray.cluster.shaping import shaping_of
from flyte_ray.errors import CodeBundleError, InvalidDeclaration
from flyte_ray.ledger.messages import TaskRef
from flyte_ray.ledger.tasks import TaskRecord
from flyte_ray.runtime.catalog import Catalog
from flyte_ray.runtime.naming import task_identity
from flyte_ray.spec.caching import VersionParameters
from flyte_ray.spec.image import Image
from flyte_ray.spec.interface import Interface, Parameter
from flyte_ray.spec.task import TaskSpec
from flyte_ray.types import inputs_schema
from flyte_ray.types.expressions import write_annotation
from flyte_ray.types.signing import Pickling

_SCRIPT: Final = "__main__"
_PLAIN: Final = (str, int, bool, float, type(None))


def record_of(task: TaskSpec, code: str | None, *, version: str | None, at_us: int, by: str) -> TaskRecord:
    """Describe what is to be deployed.

    Args:
        task: Declared at the top level of a file.
        code: The marker of its code.
        version: None for the digest of the content.
        at_us: When, in microseconds since the epoch.
        by: Who, `user@host`.

    Raises:
        CodeBundleError: No other process finds the task in its file.
        UnsupportedError: Ray cannot have an environment that it depends on.

    """
    images = {name: need.runtime_env for name, need in map_images(task).items()}
    ref = _refer(task, code, images)
    interface = _interface(task.interface, task.name, ref.module)
    record = TaskRecord(
        name=task.name,
        revision=0,
        version="",
        digest="",
        at_us=at_us,
        by=by,
        code=code,
        task=list(ref),
        identity=task_identity(task.name, task.interface),
        interface=interface,
        environment={
            "name": task.environment.name,
            "image": _image_text(task.environment.image),
            "description": task.environment.description,
            **({"images": images} if images else {}),
        },
        cache=_cache(task),
        about={
            "short_name": task.short_name,
            "docs": inspect.cleandoc(task.docs) if task.docs else None,
            "source": str(Path(task.source_file).resolve()),
            "entrypoint": task.entrypoint,
            "max_inline_io_bytes": task.max_inline_io_bytes,
            "queue": task.queue,
        },
    )
    digest = _digest(record)
    return dataclasses.replace(record, digest=digest, version=version or digest)


def _digest(record: TaskRecord) -> str:
    about = {name: value for name, value in record.about.items() if name != "source"}  # where it lay does not matter
    ref = record.ref._replace(bodies=None)  # they are in the code, and have other names in a script
    deciding = [record.name, record.code, ref, record.interface, record.environment, record.cache, about]
    return hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()[:16]


def _refer(task: TaskSpec, code: str | None, images: Mapping[str, Any]) -> TaskRef:
    module, qualname = task.func.__module__, task.func.__qualname__
    found: Any = sys.modules.get(module)
    for part in qualname.split("."):
        found = getattr(found, part, None)
    spec = getattr(found, "spec", None)
    file = Path(task.source_file)
    if not isinstance(spec, TaskSpec) or spec.name != task.name or not file.is_file():
        raise CodeBundleError(
            f"Task '{task.name}' should stand under its own name at the top level of a file, from which others import"
            f" it, but was not found there. Put it into a file, and deploy that: flyte-ray deploy FILE."
        )
    if module == _SCRIPT:  # a script is imported by the name of its file
        module = ".".join(file.resolve().relative_to(find_base(file)).with_suffix("").parts)
    return (
        Catalog(shaping_of(code, {"code": code, "images": images}), Pickling())
        .know(task)
        .ref._replace(module=module, pickled=None)
    )


def _interface(interface: Interface, task: str, module: str) -> dict[str, Any]:
    is_bare = interface.returns is inspect.Signature.empty
    return {
        "parameters": [_parameter(item, module) for item in interface.parameters],
        "returns": None if is_bare else write_annotation(interface.returns, module),
        "schema": inputs_schema(interface, task),
    }


def _parameter(item: Parameter, module: str) -> dict[str, Any]:
    said = {"name": item.name, "type": write_annotation(item.annotation, module), "keyword_only": item.keyword_only}
    if not item.has_default:
        return {**said, "has_default": False}
    if type(item.default) in _PLAIN and item.default == item.default:  # not a NaN, which JSON lacks
        return {**said, "has_default": True, "default": item.default}
    # Where an object lies in this process says nothing of it.
    return {**said, "has_default": True, "default_text": re.sub(r" at 0x[0-9a-f]+", "", f"{item.default!r}")[:80]}


def _cache(task: TaskSpec) -> dict[str, Any] | None:
    cache = task.cache
    if not cache.is_enabled:
        return None
    try:
        version = cache.get_version(VersionParameters(task.func, task.environment.image))
    except Exception as error:
        raise InvalidDeclaration(
            f"The version under which outcomes of task '{task.name}' are kept should be computed when it is deployed,"
            f" but: {error}. Give one: Cache('override', version_override='1')."
        ) from error
    return {
        "version": version,
        "serialize": cache.serialize,
        "ignored_inputs": list(cache.ignored_inputs),
        "max_age_s": cache.max_age_s,
    }


def _image_text(image: str | Image | None) -> str:
    if not isinstance(image, Image):
        return image or "auto"
    parts = [image.base_uri or "", *image.pip_packages]
    return " + ".join(part for part in parts if part) or "auto"
