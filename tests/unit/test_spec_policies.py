"""Retries, time limits, reuse and caching: what is refused and what it means."""

from __future__ import annotations

import importlib.util
import pickle
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from flyte_ray.errors import InvalidDeclaration
from flyte_ray.spec.policies import (
    Backoff,
    Cache,
    FunctionBodyPolicy,
    RetryStrategy,
    ReusePolicy,
    Timeout,
    VersionParameters,
    cache_from,
    retries_from,
    timeout_from,
)

SECOND = timedelta(seconds=1)


def test_backoff_grows_up_to_its_cap() -> None:
    retries = RetryStrategy(5, Backoff(SECOND, 2.0, timedelta(seconds=5)))
    assert [retries.delay_s(n) for n in range(4)] == [1.0, 2.0, 4.0, 5.0]
    assert retries.delay_s(100_000) == 5.0
    assert retries_from(3) == RetryStrategy(3)
    assert retries_from(3).delay_s(2) == 0.0


@pytest.mark.parametrize(
    "build",
    [
        lambda: Backoff(SECOND, 2.0),
        lambda: Backoff(SECOND, 0.5),
        lambda: Backoff(SECOND, float("nan")),
        lambda: Backoff(SECOND, float("inf"), SECOND),
        lambda: Backoff(-SECOND),
        lambda: Backoff(1),  # type: ignore[arg-type]
        lambda: Backoff(SECOND, cap=-SECOND),
        lambda: RetryStrategy(-1),
        lambda: RetryStrategy(1, retry_on=()),
        lambda: RetryStrategy(1, retry_on=("ValueError",)),  # type: ignore[arg-type]
        lambda: RetryStrategy(1, on_oom="double"),  # type: ignore[arg-type]
        lambda: RetryStrategy(True),
        lambda: RetryStrategy(1.5),  # type: ignore[arg-type]
        lambda: retries_from("3"),  # type: ignore[arg-type]
        lambda: Timeout(max_runtime=-1),
        lambda: Timeout(deadline=-SECOND),
        lambda: timeout_from(True),
        lambda: timeout_from(1.5),  # type: ignore[arg-type]
        lambda: ReusePolicy(replicas=-1),
        lambda: ReusePolicy(replicas=(3, 2)),
        lambda: ReusePolicy(replicas=(1, 2, 3)),
        lambda: ReusePolicy(replicas="2"),
        lambda: ReusePolicy(concurrency=0),
        lambda: ReusePolicy(idle_ttl=29),
        lambda: ReusePolicy(scaledown_ttl=timedelta(seconds=29)),
        lambda: ReusePolicy(scope="project"),  # type: ignore[arg-type]
        lambda: Cache("always"),  # type: ignore[arg-type]
        lambda: Cache("override"),
        lambda: Cache("auto", max_age=-1),
        lambda: cache_from(True),  # type: ignore[arg-type]
    ],
)
def test_a_policy_that_cannot_be_meant_is_a_value_error(build: Any) -> None:
    with pytest.raises(InvalidDeclaration, match="got"):
        build()


def test_a_bare_timeout_bounds_the_running_time() -> None:
    assert timeout_from(30).max_runtime_s == 30.0
    assert timeout_from(timedelta(minutes=1)).max_runtime_s == 60.0
    assert timeout_from(None).max_runtime_s is None
    assert timeout_from(0).max_runtime_s is None
    limits = Timeout(max_queued_time=5, deadline=timedelta(seconds=9))
    assert (limits.max_runtime_s, limits.max_queued_time_s, limits.deadline_s) == (None, 5.0, 9.0)


def test_reuse_is_brought_into_one_form() -> None:
    policy = ReusePolicy(replicas=3, idle_ttl=60)
    assert (policy.replicas, policy.min_replicas, policy.max_replicas) == ((3, 3), 3, 3)
    assert (policy.idle_ttl_s, policy.scaledown_ttl_s, policy.scope) == (60.0, 30.0, "global")
    assert ReusePolicy((1, 4)).replicas == (1, 4)
    assert pickle.loads(pickle.dumps(policy)) == policy


@pytest.mark.parametrize(("word", "behavior"), [("enabled", "auto"), ("true", "auto"), ("off", "disable")])
def test_other_words_for_a_behavior_are_known(word: Any, behavior: str) -> None:
    assert Cache(word).behavior == behavior


def test_cache_fields_are_brought_into_one_form() -> None:
    cache = Cache("auto", ignored_inputs="verbose", max_age=60)
    assert cache.ignored_inputs == ("verbose",)
    assert (cache.max_age_s, Cache("auto", max_age=0).max_age_s, Cache("auto").max_age_s) == (60.0, None, None)
    assert cache_from(cache) is cache


@pytest.mark.parametrize("max_age", [True, "1h", 1.5])
def test_a_max_age_of_another_type_is_a_type_error(max_age: Any) -> None:
    with pytest.raises(TypeError, match="max_age"):
        Cache("auto", max_age=max_age)


def _one(x: int) -> int:
    return x + 1


def test_the_version_follows_the_body_and_not_its_comments(tmp_path: Path) -> None:
    def version(name: str, text: str) -> str:
        path = tmp_path / f"{name}.py"
        path.write_text(text)
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return FunctionBodyPolicy().get_version("", VersionParameters(module.f))

    first = version("first", "def f(x):\n    return x + 1\n")
    assert version("commented", "def f(x):\n    # why\n\n    return (x + 1)\n") == first
    assert version("changed", "def f(x):\n    return x + 2\n") != first


def test_a_salt_changes_the_version() -> None:
    policy = FunctionBodyPolicy()
    assert policy.get_version("", VersionParameters(_one)) == policy.get_version("", VersionParameters(_one))
    assert policy.get_version("a", VersionParameters(_one)) != policy.get_version("", VersionParameters(_one))


def test_a_function_without_source_has_a_version_of_its_code() -> None:
    def version(text: str) -> str:
        return FunctionBodyPolicy().get_version("", VersionParameters(eval(text)))

    assert version("lambda x: [y + 1 for y in x]") == version("lambda x: [y + 1 for y in x]")
    assert version("lambda x: x + 1") != version("lambda x: x + 2")


def test_decorators_do_not_count_for_the_version() -> None:
    def bare() -> Any:
        def f(x: int) -> int:
            return x + 1

        return f

    def decorated() -> Any:
        def same(func: Any) -> Any:
            return func

        @same
        def f(x: int) -> int:
            return x + 1

        return f

    functions = bare(), decorated()
    for func in functions:
        func.__qualname__ = "f"
    versions = {Cache("auto").get_version(VersionParameters(func)) for func in functions}
    assert len(versions) == 1


def test_an_override_wins_over_the_automatic_version() -> None:
    assert Cache("override", "7").get_version() == "7"
    assert Cache("auto", "7").get_version() == "7"
    assert Cache("disable").get_version() is None
    with pytest.raises(InvalidDeclaration, match="version_override"):
        Cache("auto").get_version()


def test_own_policies_are_joined() -> None:
    class Fixed:
        def get_version(self, salt: str, params: VersionParameters) -> str:
            return "v" + salt

    one = Cache("auto", policies=Fixed(), salt="s").get_version(VersionParameters(_one))
    two = Cache("auto", policies=[Fixed(), FunctionBodyPolicy()], salt="s").get_version(VersionParameters(_one))
    assert one != two
    with pytest.raises(TypeError, match="get_version"):
        Cache("auto", policies="body")
