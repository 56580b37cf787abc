"""Deployed tasks on record: versions in their order, two that deploy at once, and interfaces without their classes."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
from typing import Annotated, Any, Literal, Optional

import pytest

from flyte_ray.errors import DeploymentError, RemoteTaskNotFoundError
from flyte_ray.io import File
from flyte_ray.ledger.interfaces import interface_changes, interface_text
from flyte_ray.ledger.messages import TaskRef
from flyte_ray.ledger.tasks import (
    TaskRecord,
    add_deployment,
    delete_deployed,
    find_deployed,
    list_deployed,
    list_versions,
    load_deployed,
)
from flyte_ray.runtime.deployed import options_with
from flyte_ray.types.expressions import read_annotation, write_annotation
from tests.unit.memory_store import MemoryStore

REF = TaskRef("e.f", "m", "f", None, "shape", '{"num_cpus": 1}', 0, None, False)
TASK = TaskRecord("e.f", 0, "v1", "d1", 5, "me", "code:", list(REF), "i", {}, {"name": "e"})


class Colour(enum.Enum):
    RED = 1


class Overtaken(MemoryStore):
    """A store in which another deployment comes first, once."""

    def __init__(self, other: TaskRecord) -> None:
        super().__init__()
        self.other: TaskRecord | None = other

    def put_if_absent(self, key: str, data: bytes) -> bool:
        if self.other is not None:
            other, self.other = self.other, None
            add_deployment(self, other)
        return super().put_if_absent(key, data)


def changed(**fields: Any) -> TaskRecord:
    return dataclasses.replace(TASK, **fields)


def test_the_last_deployment_is_the_latest_and_earlier_ones_stay() -> None:
    store = MemoryStore()
    assert add_deployment(store, TASK) == (changed(revision=1), True)
    assert add_deployment(store, TASK) == (changed(revision=1), False)
    second, _ = add_deployment(store, changed(version="v2", digest="d2"))
    assert find_deployed(store, "e.f") == second
    assert load_deployed(store, "e.f", "v1").revision == 1
    assert [record.version for record in list_versions(store, "e.f")] == ["v2", "v1"]
    assert load_deployed(store, "e.f").ref == REF


def test_an_earlier_content_is_the_latest_again_when_it_is_deployed_again() -> None:
    store = MemoryStore()
    for record in TASK, changed(version="v2", digest="d2"), TASK:
        add_deployment(store, record)
    assert load_deployed(store, "e.f").version == "v1"
    assert delete_deployed(store, "e.f", "v1") == ["v1"]
    assert load_deployed(store, "e.f").version == "v2"


def test_of_two_that_deploy_at_once_each_is_on_record() -> None:
    store = Overtaken(changed(version="v2", digest="d2"))
    assert add_deployment(store, TASK)[0].revision == 2
    assert load_deployed(store, "e.f", "v2").revision == 1


def test_of_two_that_deploy_the_same_at_once_one_finds_it_done() -> None:
    assert add_deployment(Overtaken(changed(by="other")), TASK) == (changed(by="other", revision=1), False)


def test_of_two_that_deploy_a_version_at_once_the_later_is_refused() -> None:
    with pytest.raises(DeploymentError, match="Version 'v1' of task 'e.f' should be new, but was deployed by other"):
        add_deployment(Overtaken(changed(digest="d2", by="other")), TASK)


def test_the_current_version_is_that_of_the_callers_code() -> None:
    store = MemoryStore()
    for record in TASK, changed(version="v2", digest="d2", code="other:"):
        add_deployment(store, record)
    assert load_deployed(store, "e.f", code="code:", of_code=True).version == "v1"
    with pytest.raises(RemoteTaskNotFoundError, match="Deploy both together, or ask for auto_version='latest'"):
        load_deployed(store, "e.f", code="third:", of_code=True)


def test_a_task_with_the_beginning_of_anothers_name_is_another() -> None:
    store = MemoryStore()
    for name in ("e.f", "e.fg"):
        add_deployment(store, changed(name=name))
    assert [(record.name, record.revision) for record in list_deployed(store)] == [("e.f", 1), ("e.fg", 1)]
    assert delete_deployed(store, "e.f") == ["v1"]
    assert [record.name for record in list_deployed(store)] == ["e.fg"]


@pytest.mark.parametrize(
    "annotation",
    [
        *(
            int,
            None,
            Any,
            list[int],
            dict[str, list[float]],
            Optional[int],  # noqa: UP045
            int | str | None,
            tuple[int, ...],
            dt.datetime,
        ),
        *(Literal["a", 1], set[str], Colour, File, tuple[int, str], list[dict[str, Any]], list),
    ],
)
def test_an_annotation_is_read_as_it_was_written(annotation: Any) -> None:
    assert read_annotation(write_annotation(annotation)) == annotation


def test_an_annotation_that_is_not_found_here_is_any() -> None:
    written = write_annotation(list[Colour])
    assert written["text"] == "list[Colour]"
    written["form"]["of"][0]["is"] = "no_such_module:Colour"
    assert read_annotation(written) == list[Any]
    assert read_annotation(write_annotation(Annotated[int, "of euros"])) is int


def parameter(name: str, kind: str = "int", **more: Any) -> dict[str, Any]:
    return {"name": name, "type": {"text": kind}, "keyword_only": False, "has_default": "default" in more, **more}


def interface(*parameters: dict[str, Any], returns: str | None = "int") -> dict[str, Any]:
    return {"parameters": parameters, "returns": {"text": returns} if returns else None}


def test_an_interface_is_written_as_python_does() -> None:
    shown = interface(parameter("x"), parameter("y", "str", default="a", keyword_only=True))
    assert interface_text(shown) == "(x: int, *, y: str = 'a') -> int"
    assert interface_text(interface(returns=None)) == "()"


@pytest.mark.parametrize(
    ("after", "said"),
    [
        (interface(parameter("x"), parameter("y")), []),
        (interface(parameter("x")), ["y removed"]),
        (interface(parameter("y"), parameter("x")), ["order x, y -> y, x"]),
        (interface(parameter("x", "float"), parameter("y")), ["x: int -> float"]),
        (interface(parameter("x"), parameter("y", default=3)), ["y: default none -> 3"]),
        (interface(parameter("x"), parameter("y", keyword_only=True)), ["y: by name only"]),
        (interface(parameter("x"), parameter("y"), parameter("z", default=1)), ["z: int = 1 added"]),
        (interface(parameter("x"), parameter("y"), returns=None), ["returns int -> nothing said"]),
    ],
)
def test_what_changed_in_an_interface_is_said(after: dict[str, Any], said: list[str]) -> None:
    assert interface_changes(interface(parameter("x"), parameter("y")), after) == said


def test_a_runs_variables_are_laid_over_a_tasks_own_but_not_over_its_code() -> None:
    ref = REF._replace(options='{"num_cpus": 1, "runtime_env": {"env_vars": {"A": "1", "CODE": "x"}}}')
    assert options_with(ref, {}, "CODE")["runtime_env"]["env_vars"] == {"A": "1", "CODE": "x"}
    assert options_with(ref, {"A": "2", "CODE": "y"}, "CODE")["runtime_env"]["env_vars"] == {"A": "2", "CODE": "x"}
