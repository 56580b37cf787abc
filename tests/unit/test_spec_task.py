"""Environments and secrets as data."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from flyte_ray.errors import InvalidDeclaration
from flyte_ray.spec.interface import build_interface
from flyte_ray.spec.secret import Secret, secrets_from
from flyte_ray.spec.task import EnvironmentSpec, TaskSpec


@pytest.mark.parametrize("name", ["a", "my-env", "my_env_2"])
def test_a_good_environment_name_is_kept(name: str) -> None:
    assert EnvironmentSpec(name).name == name


@pytest.mark.parametrize("name", ["", "My", "a b", "a--b", "-a", "a.b", None])
def test_a_bad_environment_name_is_refused(name: Any) -> None:
    with pytest.raises(ValueError, match="must be in snake_case or kebab-case format"):
        EnvironmentSpec(name)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("image", 3),
        ("resources", {"cpu": 1}),
        ("reusable", True),
        ("env_vars", ["A=1"]),
        ("env_vars", {"A": 1}),
        ("secrets", 3),
        ("include", "file.txt"),
        ("include", (Path("x"),)),
    ],
)
def test_a_field_of_another_type_is_named(field: str, value: Any) -> None:
    with pytest.raises(TypeError, match=field):
        EnvironmentSpec("env", **{field: value})


def test_a_long_description_is_cut() -> None:
    assert EnvironmentSpec("env", description="x" * 300).description == "x" * 255


def _double(x: int) -> int:
    return 2 * x


def test_a_task_pickles() -> None:
    spec = TaskSpec("env.double", "double", _double, build_interface(_double), EnvironmentSpec("env"))
    assert pickle.loads(pickle.dumps(spec)) == spec
    assert (spec.cache.behavior, spec.retries.count, spec.max_inline_io_bytes) == ("disable", 0, 10 * 2**20)


def test_a_secret_names_its_variable() -> None:
    assert Secret("api-key").as_env_var == "API_KEY"
    assert Secret("api-key", group="open-ai").as_env_var == "OPEN_AI_API_KEY"
    assert Secret("k", as_env_var="MY_KEY").as_env_var == "MY_KEY"
    assert Secret("k", mount=Path("/etc/flyte/secrets")).as_env_var is None


@pytest.mark.parametrize("fields", [{"as_env_var": "lower"}, {"as_env_var": "1A"}, {"mount": Path("/tmp")}])
def test_a_wrong_secret_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidDeclaration, match="got"):
        Secret("k", **fields)


def test_secrets_are_read_in_every_form() -> None:
    assert secrets_from(None) == ()
    assert secrets_from("a") == (Secret("a"),)
    assert secrets_from(["a", Secret("b")]) == (Secret("a"), Secret("b"))
    with pytest.raises(TypeError, match="int"):
        secrets_from([1])  # type: ignore[list-item]
