"""What an app may be declared as, and what is refused in a sentence."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from fastapi import FastAPI

import flyte_ray as flyte
from flyte_ray.app import AppEndpoint, AppEnvironment, Domain, Link, Parameter, Port, RunOutput, Scaling, Timeouts
from flyte_ray.app.extras import FastAPIAppEnvironment, HTTPAPIEnvironment
from flyte_ray.console.environment import ConsoleEnvironment
from flyte_ray.errors import InvalidDeclaration, UnsupportedError


def test_an_app_shows_what_it_was_declared_with() -> None:
    env = AppEnvironment(
        "shown",
        resources=flyte.Resources(cpu=2),
        port=Port(9000),
        command="python -m http.server {port}",
        requires_auth=False,
        scaling=Scaling(replicas=(1, 3), metric=Scaling.Concurrency(10), scaledown_after=timedelta(minutes=5)),
        links=[Link("/docs", "Docs", is_relative=True)],
        parameters=[Parameter("model", value="m", env_var="MODEL")],
        timeouts=Timeouts(request=30),
    )
    assert (env.name, env.get_port(), env.requires_auth) == ("shown", Port(9000), False)
    assert env.command == ("python", "-m", "http.server", "{port}")
    assert (env.scaling.replicas, env.scaling.scaledown_after_s) == ((1, 3), 300)
    assert (env.app_spec.route, env.spec.declaring_file) == ("/apps/shown", __file__)


def test_a_clone_differs_in_what_was_said_and_keeps_its_functions() -> None:
    app = FastAPI()
    env = FastAPIAppEnvironment("first", app=app, port=9000, include=["data.txt"])

    @env.on_startup
    def load() -> None: ...

    clone = env.clone_with("second", port=9001)
    assert isinstance(clone, FastAPIAppEnvironment)
    assert (clone.name, clone.app, clone.port.port, clone.startup) == ("second", app, 9001, load)
    assert (clone.spec.include, clone.spec.declaring_file) == (("data.txt",), __file__)
    with pytest.raises(TypeError, match=r"App 'first' cannot be cloned with 'colour'. It has: "):
        env.clone_with("third", colour="red")


def test_a_fastapi_app_has_a_link_to_its_documentation() -> None:
    env = FastAPIAppEnvironment("documented", app=FastAPI())
    assert (env.type, env.links) == ("FastAPI", (Link("/docs", "API documentation", is_relative=True),))


def test_a_domain_is_a_route() -> None:
    assert AppEnvironment("shop", domain=Domain(subdomain="x")).app_spec.route == "/x"
    assert AppEnvironment("shop", domain=Domain(flyte.app.Subdomain.from_app_name("y"))).app_spec.route == "/y"


@pytest.mark.parametrize(
    ("command", "literal"),
    [
        ("python -m http.server 8080", True),
        ("python -m http.server --port=8080", True),
        ("python -m http.server {port}", False),
        ("python serve.py", False),
        ("python -m http.server 18080", False),
    ],
)
def test_a_command_that_names_its_port_is_told_from_one_that_takes_it(command: str, literal: bool) -> None:
    assert AppEnvironment("files", command=command).app_spec.names_port is literal


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"name": "under_score"}, "must consist of lower-case letters, digits and '-'.+ Write 'under-score'."),
        ({"port": 8012}, "must not use the ports 8012, 8022, 8112, 9090, 9091, got 8012."),
        ({"port": 0}, "A port must be a number from 1 to 65535, got 0."),
        ({"port": "80"}, "A port must be a number"),
        ({"command": "echo 'x"}, 'command must be words as in a shell, got "echo \'x"'),
    ],
)
def test_an_impossible_declaration_is_refused(fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidDeclaration, match=sentence):
        AppEnvironment(**{"name": "app", **fields})


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"requires_auth": 1}, "requires_auth must be True or False, got 1."),
        ({"scaling": 3}, "scaling must be a Scaling, got 3."),
        ({"links": ["x"]}, "links must be a list of flyte.app.Link"),
        ({"parameters": ["x"]}, "parameters must be a list of flyte.app.Parameter"),
        ({"args": [1]}, "args must be text or a list of text"),
        ({"depends_on": ["x"]}, "depends_on must list environments"),
        ({"resources": "2"}, "resources must be a Resources"),
    ],
)
def test_a_value_of_another_type_is_refused(fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(TypeError, match=sentence):
        AppEnvironment("app", **fields)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"replicas": (3, 1)}, r"0 <= least <= most and most >= 1, got \(3, 1\)"),
        ({"replicas": 0}, "most >= 1, got 0"),
        ({"replicas": (-1, 1)}, r"got \(-1, 1\)"),
        ({"replicas": "2"}, "must be a number or a pair of them, got '2'"),
        ({"metric": 10}, "must be Scaling.Concurrency"),
        ({"scaledown_after": -1}, "must not be negative, got -1"),
        ({"scaledown_after": "5m"}, "must be seconds or a timedelta, got '5m'"),
    ],
)
def test_a_range_of_replicas_that_cannot_be_is_refused(fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidDeclaration, match=sentence):
        Scaling(**fields)


def test_a_metric_counts_from_one() -> None:
    assert (Scaling.Concurrency(1).val, Scaling.RequestRate(5).val) == (1, 5)
    with pytest.raises(InvalidDeclaration, match="Scaling.RequestRate must be a whole number of at least 1, got 0"):
        Scaling.RequestRate(0)


def test_what_one_address_cannot_give_is_refused_with_what_to_do() -> None:
    with pytest.raises(UnsupportedError, match="Put a proxy that has this name in front of Serve"):
        Domain(custom_domain="shop.example.org")
    with pytest.raises(UnsupportedError, match=r"Write Domain\(subdomain='name'\)"):
        Domain(flyte.app.Subdomain.from_function(lambda env, context: "x"))
    with pytest.raises(InvalidDeclaration, match="Domain.subdomain must be a path such as 'shop'"):
        Domain("a b")
    with pytest.raises(UnsupportedError, match="cannot have 'cluster', got 'c'"):
        AppEnvironment("app", cluster="c")


def test_a_request_may_take_an_hour_at_most() -> None:
    assert Timeouts(request=timedelta(minutes=1)).request_s == 60
    with pytest.raises(InvalidDeclaration, match="at most 3600 s, got 3601"):
        Timeouts(request=3601)


def test_a_parameter_has_a_name_and_a_known_type() -> None:
    with pytest.raises(InvalidDeclaration, match="Parameter.name must be a name such as 'model', got 'a b'"):
        Parameter("a b")
    with pytest.raises(InvalidDeclaration, match="type must be one of 'string', 'file'"):
        Parameter("a", type="number")  # type: ignore[arg-type]
    with pytest.raises(InvalidDeclaration, match="env_var must be the name of a variable, got 'A-B'"):
        Parameter("a", env_var="A-B")
    with pytest.raises(InvalidDeclaration, match="must have different names, got 'a' twice"):
        AppEnvironment("app", parameters=[Parameter("a"), Parameter("a")])
    with pytest.raises(InvalidDeclaration, match="app_name must be the name of an app"):
        AppEndpoint(app_name="")


def test_the_output_of_a_run_names_a_run_or_a_task() -> None:
    assert RunOutput(type="file", task_name="env.train").getter == (0,)
    wrong: tuple[dict[str, Any], ...] = ({}, {"run_name": "r", "task_name": "t"})
    for names in wrong:
        with pytest.raises(InvalidDeclaration, match="RunOutput must name either a run or a task"):
            RunOutput(type="file", **names)
    with pytest.raises(InvalidDeclaration, match="a tuple that begins with the number of an output"):
        RunOutput(type="file", run_name="r", getter=())


def test_an_app_has_one_process() -> None:
    command = AppEnvironment("command", command="sleep 1")
    with pytest.raises(InvalidDeclaration, match="has a process already, the command 'sleep 1'"):
        command.server(lambda: None)
    with pytest.raises(InvalidDeclaration, match="@on_startup goes with a Python app"):
        command.on_startup(lambda: None)
    with pytest.raises(InvalidDeclaration, match="serves its app itself, got the command 'x'"):
        FastAPIAppEnvironment("both", app=FastAPI(), command="x")
    with pytest.raises(InvalidDeclaration, match="has a process already, an ASGI app"):
        FastAPIAppEnvironment("both", app=FastAPI()).server(lambda: None)
    with pytest.raises(TypeError, match="app must be a FastAPI object or another ASGI app, got 'x'"):
        FastAPIAppEnvironment("text", app="x")


def test_a_function_of_an_app_asks_for_its_parameters_only() -> None:
    env = AppEnvironment("asking", parameters=[Parameter("model", value="m")])

    @env.server
    def serve(model: str, again: int = 1) -> None: ...

    with pytest.raises(InvalidDeclaration, match="got 'modell'. It has: model."):
        env.on_startup(lambda modell: None)
    with pytest.raises(InvalidDeclaration, match="has an @server function already, serve, got <lambda>"):
        env.server(lambda: None)


def test_tasks_and_apps_may_depend_on_each_other() -> None:
    tasks = flyte.TaskEnvironment("tasks")
    app = AppEnvironment("app", depends_on=[tasks])
    assert flyte.TaskEnvironment("more", depends_on=[app]).depends_on == [app]
    assert app.depends_on == [tasks]


def test_the_context_outside_an_app_is_local() -> None:
    assert flyte.app.ctx() == flyte.app.AppContext("local")


def test_the_console_can_be_cloned_and_answers_conditions() -> None:
    clone = ConsoleEnvironment(port=9000).clone_with("second", port=9001)
    assert isinstance(clone, ConsoleEnvironment) and clone.is_api and not clone.requires_auth


def test_the_http_api_can_be_cloned() -> None:
    clone = HTTPAPIEnvironment("first", port=9000).clone_with("second", port=9001)
    assert isinstance(clone, HTTPAPIEnvironment) and clone.is_api and (clone.name, clone.port.port) == ("second", 9001)
    with pytest.raises(TypeError, match=r"App 'second' cannot be cloned with 'app'. It has: tasks, "):
        clone.clone_with("third", app=FastAPI())
