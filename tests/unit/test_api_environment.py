"""What an environment and `@env.task` accept, and what they refuse in a sentence."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import flyte_ray as flyte
from flyte_ray.errors import InvalidDeclaration, UnsupportedError


def test_an_environment_shows_what_it_was_declared_with() -> None:
    resources = flyte.Resources(cpu=2)
    env = flyte.TaskEnvironment(
        "shown", image="x:1", resources=resources, env_vars={"A": "b"}, description="d", include=["data.txt"], queue="q"
    )
    assert (env.name, env.image, env.resources, env.env_vars) == ("shown", "x:1", resources, {"A": "b"})
    assert (env.description, env.include, env.queue, env.interruptible) == ("d", ("data.txt",), "q", False)
    assert env.spec.declaring_file == __file__


@pytest.mark.parametrize("name", ["plugin_config", "pod_template", "service_account"])
def test_what_has_no_meaning_on_ray_is_refused_with_what_to_do(name: str) -> None:
    with pytest.raises(UnsupportedError, match=f"Environment 'e' cannot have '{name}', got 'x'. .+: "):
        flyte.TaskEnvironment("e", **{name: "x"})  # type: ignore[arg-type]
    with pytest.raises(UnsupportedError, match=f"cannot have '{name}'"):
        flyte.TaskEnvironment("e").clone_with("f", **{name: "x"})  # type: ignore[arg-type]


def test_a_dependency_must_be_another_environment() -> None:
    env = flyte.TaskEnvironment("e")
    with pytest.raises(ValueError, match="cannot depend on itself"):
        env.add_dependency(env)
    with pytest.raises(TypeError, match="depends_on must list environments, got str 'other'"):
        flyte.TaskEnvironment("f", depends_on=["other"])  # type: ignore[list-item]


def test_a_dependency_named_twice_counts_once() -> None:
    first = flyte.TaskEnvironment("first")
    second = flyte.TaskEnvironment("second", depends_on=[first])
    second.add_dependency(first, first)
    assert second.depends_on == [first]


def test_a_clone_keeps_what_is_not_given_and_takes_none_as_a_value() -> None:
    reuse = flyte.ReusePolicy(replicas=2)
    env = flyte.TaskEnvironment("e", resources=flyte.Resources(cpu=1), cache="auto", reusable=reuse, queue="q")
    clone = env.clone_with("clone", resources=None, reusable=None)
    assert (clone.resources, clone.reusable, clone.queue, clone.cache) == (None, None, "q", env.cache)
    assert env.reusable == reuse


def test_a_clones_included_files_stay_relative_to_the_file_that_wrote_them(tmp_path: Path) -> None:
    elsewhere: dict[str, Any] = {}
    source = "import flyte_ray as flyte\nenv = flyte.TaskEnvironment('e', include=('a.txt',))\n"
    exec(compile(source, str(tmp_path / "other.py"), "exec"), elsewhere)
    assert elsewhere["env"].clone_with("c").spec.declaring_file == str(tmp_path / "other.py")
    assert elsewhere["env"].clone_with("c", include=("b.txt",)).spec.declaring_file == __file__


def test_a_clone_refuses_fields_that_do_not_exist() -> None:
    with pytest.raises(TypeError, match=r"Unexpected keyword arguments: \['memory'\]. Environment 'e' can be cloned"):
        flyte.TaskEnvironment("e").clone_with("f", memory="1Gi")


def test_tasks_of_several_images_cannot_share_an_environment() -> None:
    first, second = flyte.TaskEnvironment("a", image="a:1"), flyte.TaskEnvironment("b", image="b:1")

    def work() -> int:
        return 1

    loose = [flyte.TaskTemplate(env.task(work).spec) for env in (first, second)]
    with pytest.raises(ValueError, match="should share one image"):
        flyte.TaskEnvironment.from_task("both", *loose)


def test_a_task_takes_its_environments_defaults_unless_it_says_otherwise() -> None:
    env = flyte.TaskEnvironment("e", cache="auto", interruptible=True, queue="slow")

    @env.task
    def plain() -> int:
        """Say one."""
        return 1

    @env.task(
        short_name="told",
        cache="disable",
        retries=3,
        timeout=timedelta(minutes=1),
        docs=flyte.Documentation("another text"),
        interruptible=False,
        max_inline_io_bytes=7,
        queue="fast",
        entrypoint=True,
    )
    async def told() -> int:
        return 1

    spec = plain.spec
    assert (spec.cache.behavior, spec.interruptible, spec.queue, spec.docs) == ("auto", True, "slow", "Say one.")
    spec = told.spec
    assert (spec.short_name, spec.cache.behavior, spec.retries.count, spec.docs) == (
        "told",
        "disable",
        3,
        "another text",
    )
    assert (spec.interruptible, spec.max_inline_io_bytes, spec.queue, spec.entrypoint) == (False, 7, "fast", True)
    assert list(env.tasks) == ["e.plain", "e.told"]


@pytest.mark.parametrize("name", ["pod_template", "service_account", "produces_artifacts", "task_resolver"])
def test_a_task_refuses_what_has_no_meaning_on_ray(name: str) -> None:
    settings: dict[str, Any] = {name: ("x",)}
    with pytest.raises(UnsupportedError, match=f"Task 'e.f' cannot have '{name}'"):

        @flyte.TaskEnvironment("e").task(None, **settings)
        def f() -> int:
            return 1


def test_a_task_refuses_settings_that_do_not_exist() -> None:
    with pytest.raises(TypeError, match="Task 'e.f' has no setting 'retry'"):

        @flyte.TaskEnvironment("e").task(retry=3)
        def f() -> int:
            return 1


def test_only_functions_become_tasks() -> None:
    env = flyte.TaskEnvironment("e")
    with pytest.raises(InvalidDeclaration, match="@env.task expects a function, got type"):
        env.task(int)
    with pytest.raises(InvalidDeclaration, match="must return its output, got a generator. Return a list"):

        @env.task
        def numbers() -> Any:
            yield 1


def test_a_sync_function_cannot_share_a_process_with_others() -> None:
    env = flyte.TaskEnvironment("e", reusable=flyte.ReusePolicy(concurrency=4))
    with pytest.raises(ValueError, match="must be async to share a process"):

        @env.task
        def f() -> int:
            return 1

    @flyte.TaskEnvironment("plain").task
    def g() -> int:
        return 1

    with pytest.raises(ValueError, match="must be async to share a process"):
        g.override(reusable=flyte.ReusePolicy(concurrency=4))


def test_parameters_without_types_are_told_at_declaration(caplog: pytest.LogCaptureFixture) -> None:
    @flyte.TaskEnvironment("e").task
    def f(x, y: int) -> int:  # type: ignore[no-untyped-def]
        return 1

    assert "Task 'e.f' should say the types of all parameters, got none for x" in caplog.text
