"""What nodes say of the containers that they have decides what is refused; told by nodes that are plain functions."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from ray.exceptions import RayError

from flyte_ray.cluster import nodes as asking
from flyte_ray.cluster import preparing
from flyte_ray.cluster.images import map_image
from flyte_ray.errors import UnsupportedError
from flyte_ray.spec.image import Image

NEEDS = {"tools": map_image("tools", Image.from_debian_base().with_apt_packages("git"))}
Answer = Callable[[], "set[str] | None"]


def has_it() -> set[str] | None:
    return {NEEDS["tools"].runtime_env["image_uri"]}


def has_others() -> set[str] | None:
    return set()


def lacks_podman() -> set[str] | None:
    return None


def says_nothing() -> set[str] | None:
    raise AssertionError("nobody waits for it")


def breaks() -> set[str] | None:
    raise RayError("podman took too long")


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> list[Answer]:
    """The nodes of the cluster, by how they answer."""
    answers: list[Answer] = []
    asked: list[Answer] = []

    class Asked:
        def options(self, **_: Any) -> Asked:
            return self

        def remote(self, _: list[str]) -> Answer:
            asked.append(answers[len(asked)])
            return asked[-1]

    ray = SimpleNamespace(
        nodes=lambda: [{"Alive": True, "NodeID": f"{number:056x}"} for number in range(len(answers))],
        remote=lambda _: Asked(),
        wait=lambda refs, **_: (
            [ref for ref in refs if ref is not says_nothing],
            [ref for ref in refs if ref is says_nothing],
        ),
        get=lambda ref: ref(),
    )
    monkeypatch.setattr(asking, "ray", ray)
    return answers


@pytest.mark.parametrize("more", [[], [lacks_podman], [breaks], [says_nothing]])
def test_a_container_that_some_node_has_is_taken(nodes: list[Answer], more: list[Answer]) -> None:
    nodes += [*more, has_it]
    preparing.check_containers(NEEDS)


@pytest.mark.parametrize(
    ("answers", "sentence"),
    [([lacks_podman], "no node of this cluster has podman"), ([lacks_podman, has_others], "Build it on a node")],
)
def test_a_container_that_no_node_has_is_refused(nodes: list[Answer], answers: list[Answer], sentence: str) -> None:
    nodes += answers
    with pytest.raises(UnsupportedError, match=sentence):
        preparing.check_containers(NEEDS)


@pytest.mark.parametrize("silent", [says_nothing, breaks])
@pytest.mark.parametrize("other", [lacks_podman, has_others])
def test_a_node_that_does_not_answer_refuses_nothing(nodes: list[Answer], silent: Answer, other: Answer) -> None:
    nodes += [silent, other]
    preparing.check_containers(NEEDS)
