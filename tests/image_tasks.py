"""Tasks that need packages which their cluster's processes lack."""

from __future__ import annotations

import importlib

import flyte_ray as flyte

WHEEL = "tiny-wheel-of-a-test"
BASE = flyte.Image.from_debian_base()
image = BASE.with_pip_packages(WHEEL)
by_uv = flyte.TaskEnvironment("by-uv", image=image)
again = flyte.TaskEnvironment("again", image=image, env_vars={"OTHER": "1"})
missing = flyte.TaskEnvironment("missing", image=BASE.with_pip_packages("no-such-wheel-of-a-test"))
clashing = flyte.TaskEnvironment("clashing", image=BASE.with_pip_packages(f"{WHEEL}>1", f"{WHEEL}<1"))
by_pip = flyte.TaskEnvironment("by-pip", image=BASE.with_pip_packages(f"{WHEEL}==1.0"))
plain = flyte.TaskEnvironment("plain")


def where() -> str:
    return str(importlib.import_module(WHEEL.replace("-", "_")).__file__)


@by_uv.task
def uses_it() -> str:
    return where()


@again.task
def uses_it_too() -> str:
    return where()


@by_pip.task
def uses_one() -> str:
    return where()


@missing.task(retries=3)
def has_none() -> str:
    return where()


@clashing.task
def has_two() -> str:
    return where()


@plain.task
def main() -> list[str]:
    return [uses_it(), uses_it_too()]
