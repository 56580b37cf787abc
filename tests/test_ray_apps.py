"""Apps on a real cluster's Serve, asked by real clients."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from click.testing import CliRunner
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

import flyte_ray as flyte
from flyte_ray.apps.deploying import PORT_VAR
from flyte_ray.cli.main import main
from flyte_ray.cluster.serve_options import HAPROXY_VAR
from flyte_ray.cluster.session import connect as connect_to
from flyte_ray.errors import DeploymentError
from flyte_ray.ledger.apps import delete_app
from flyte_ray.ledger.tokens import create_token
from flyte_ray.runtime.offspring import process_at
from flyte_ray.storage import open_store
from tests import served_apps
from tests.ray_cluster import free_port, ray_environ
from tests.test_model_app import TOP, train
from tests.waiting import within

until = within(180)

CLI = [sys.executable, "-m", "flyte_ray.cli.main"]


@pytest.fixture(scope="module")
def serving(connected: Path, ray_address: str) -> Iterator[Path]:
    """The root; Serve listens on a free port, and ends with the module."""
    connect_to(ray_address)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(PORT_VAR, str(free_port()))
        yield connected
        delete_all()
        shut_serve_down()


def delete_all() -> None:
    """Have no app on record: a ledger of this root, which others use, would serve it again when it starts."""
    for app in flyte.remote.App.listall():
        flyte.remote.App.delete(app.name, force=True)


def shut_serve_down() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Serve's own models use what pydantic deprecates
        from ray import serve

    serve.shutdown()


def token_for(root: Path, scope: str) -> dict[str, str]:
    text, _ = create_token(open_store(root), scope, [scope], random=os.urandom, at_us=1, by="tests")
    return {"Authorization": f"Bearer {text}"}


def client_of(handle: Any, headers: dict[str, str] | None = None) -> httpx.Client:
    return httpx.Client(base_url=handle.endpoint, headers=headers, timeout=60, trust_env=False)


def test_an_asgi_app_is_served_to_who_has_a_token(serving: Path) -> None:
    handle = flyte.serve(served_apps.shop)
    assert isinstance(handle, flyte.AppHandle) and handle.is_active()
    assert handle.endpoint == f"http://127.0.0.1:{os.environ[PORT_VAR]}/apps/shop"
    right, wrong = token_for(serving, "app:shop"), token_for(serving, "app:other")
    with client_of(handle) as client:
        assert client.get("/about").status_code == 401
        assert client.get("/about", headers=wrong).status_code == 403
    with client_of(handle, right) as client:
        said = client.get("/about").json()
        assert (said["colour"], said["model"], said["mode"]) == ("red", ["first"] * 3, "remote")
        assert client.get("/events").text == "data: 0\n\ndata: 1\n\ndata: 2\n\n"
    url = f"{handle.endpoint.replace('http', 'ws')}/ws"
    with connect(url, additional_headers=right, open_timeout=60) as websocket:
        websocket.send("hello")
        assert websocket.recv() == "hello!"
    with pytest.raises(InvalidStatus):
        connect(url, open_timeout=60)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # see shut_serve_down
        from ray import serve
    answer = serve.get_app_handle("shop").request.remote("GET", "/about").result(timeout_s=60)
    assert answer["status"] == 200 and b'"red"' in answer["body"]


def test_the_same_content_changes_nothing_and_another_one_fails_no_request(serving: Path) -> None:
    handle = flyte.serve(served_apps.shop)
    revision = flyte.remote.App.get("shop").revision
    assert flyte.serve(served_apps.shop).name == "shop" and flyte.remote.App.get("shop").revision == revision
    headers, answers, ends = token_for(serving, "app:shop"), [], threading.Event()

    def ask() -> None:
        with client_of(handle, headers) as client:
            while not ends.is_set():
                answer = client.get("/about")
                answers.append((answer.status_code, answer.json().get("model", [""])[0]))

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        until(lambda: answers)
        server = flyte.with_servecontext(parameter_values={"shop": {"model": "second"}})
        server.serve(served_apps.shop)
        until(lambda: answers[-1][1] == "second")
    finally:
        ends.set()
        for thread in threads:
            thread.join()
    assert {status for status, _ in answers} == {200}
    assert flyte.remote.App.get("shop").revision == revision + 1


def test_a_command_is_served_started_again_and_ended_with_its_replica(serving: Path) -> None:
    handle = flyte.serve(served_apps.files)
    assert handle.endpoint.endswith("/archive")
    with client_of(handle) as client:
        first, port, body = client.post("/", content="abc").text.split()
        assert body == "abc" and port not in ("8080", os.environ[PORT_VAR])
        os.kill(int(first), signal.SIGKILL)
        until(lambda: client.get("/").status_code == 200)
        second = client.post("/", content="x").text.split()[0]
        assert second != first
        process = process_at(int(second))
        assert process is not None
        lives = process.lives
        replica = int(Path(f"/proc/{second}/stat").read_text().rpartition(")")[2].split()[1])
        # Killed as a whole: later requests are answered, and nothing of it is left.
        os.kill(replica, signal.SIGKILL)
        until(lambda: not lives())
        until(lambda: _status(client) == 200)
        third = client.post("/", content="x").text.split()[0]
        process = process_at(int(third))
        assert process is not None and process.lives()
    handle.deactivate()
    assert not process.lives()
    assert httpx.get(f"http://127.0.0.1:{os.environ[PORT_VAR]}/archive", trust_env=False, timeout=60).status_code == 404


def _status(client: httpx.Client) -> int:
    try:
        return client.get("/").status_code
    except httpx.HTTPError:
        return 0


def test_apps_start_runs_and_tasks_ask_apps(serving: Path) -> None:
    [deployment] = flyte.deploy(served_apps.tasks)  # what it depends on is served
    assert [app.name for app in deployment.apps] == ["files"] and len(deployment.tasks) == 2
    assert flyte.run(served_apps.ask_files).outputs() == (200,)
    assert not flyte.deploy(served_apps.files)[0].apps[0].is_changed
    handle = flyte.serve(served_apps.runner)
    with client_of(handle) as client:
        assert client.get("/double?x=4").json() == 8
    for name in ("files", "runner"):
        flyte.remote.App.delete(name)


def test_replicas_come_with_load_and_go_without_and_the_first_request_waits(serving: Path) -> None:
    handle: Any = flyte.serve(served_apps.busy)
    statuses, ends = [], threading.Event()

    def ask() -> None:
        with client_of(handle) as client:
            while not ends.is_set():
                statuses.append(client.get("/").status_code)

    def running() -> int:
        return int(handle.state()["replicas"].get("RUNNING", 0))

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    try:
        until(lambda: running() == 3)
    finally:
        ends.set()
        for thread in threads:
            thread.join()
    until(lambda: running() == 0)
    with client_of(handle) as client:
        assert client.get("/").status_code == 200
    assert set(statuses) == {200}
    handle.deactivate()


def test_replicas_come_with_the_rate_of_requests(serving: Path) -> None:
    handle: Any = flyte.serve(served_apps.rated)

    def asked() -> bool:
        with client_of(handle) as client:
            assert client.get("/").status_code == 200  # half a second: twice as many per second as one replica is for
        return int(handle.state()["replicas"].get("RUNNING", 0)) == 2

    with ThreadPoolExecutor(3) as pool:
        until(lambda: any(pool.map(lambda _: asked(), range(3))))
    flyte.remote.App.delete("rated")


def test_a_server_function_runs_in_a_process_of_its_own(serving: Path) -> None:
    flyte.serve(served_apps.echo)
    with connect(f"{served_apps.echo.endpoint.replace('http', 'ws')}/", open_timeout=60) as websocket:
        websocket.send("hello")
        assert websocket.recv() == "hello?"


def test_a_page_of_streamlit_is_served_with_its_websocket(serving: Path) -> None:
    from streamlit.proto.BackMsg_pb2 import BackMsg
    from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

    handle = flyte.serve(served_apps.board)
    with client_of(handle, {"accept": "text/html"}) as client:
        page = client.get("", follow_redirects=True)
        assert page.status_code == 200 and "<title>Streamlit</title>" in page.text
        parts = re.findall(r'(?:src|href)="\./(static/[^"]+)"', page.text)
        assert parts and {client.get(f"/{part}").status_code for part in parts} == {200}
    url = f"{handle.endpoint.replace('http', 'ws')}/_stcore/stream"
    origin: Any = handle.endpoint.removesuffix("/apps/board")
    protocols: Any = ["streamlit"]
    asked: Any = BackMsg()
    asked.rerun_script.query_string = ""
    shown: list[Any] = []
    with connect(url, subprotocols=protocols, origin=origin, open_timeout=60) as browser:
        browser.send(asked.SerializeToString())
        while not shown or shown[-1].WhichOneof("type") != "script_finished":
            shown.append(ForwardMsg())
            shown[-1].ParseFromString(browser.recv(timeout=60))
    elements = [told.delta.new_element for told in shown if told.WhichOneof("type") == "delta"]
    texts = [each.heading.body or each.markdown.body for each in elements]
    assert texts == ["Board of the tests", "six times seven is 42"]
    flyte.remote.App.delete("board")


def test_what_does_not_start_is_said_where_it_was_asked_for(serving: Path) -> None:
    with pytest.raises(DeploymentError, match=r"App 'broken' did not start: (.|\n)*its last lines:\n    no model here"):
        flyte.serve(served_apps.broken)
    with pytest.raises(DeploymentError, match=r"App 'failing' did not start: its code failed:(.|\n)*model.pkl"):
        flyte.serve(served_apps.failing)
    with pytest.raises(DeploymentError, match="App 'huge' cannot be served: No node .* needs 1000 CPU"):
        flyte.serve(served_apps.huge)
    for name in ("broken", "failing", "huge"):
        flyte.remote.App.delete(name)


def test_the_command_line_serves_shows_switches_and_deletes(serving: Path, ray_address: str) -> None:
    file = Path(served_apps.__file__)
    environ = {**ray_environ(), "FLYTE_RAY_ROOT": str(serving)}

    def started(*words: str) -> str:
        done = subprocess.run([*CLI, *words], env=environ, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def cli(*words: str) -> str:
        # In this process, which is connected: each new one takes seconds to be.
        done = CliRunner().invoke(main, [*words, "--root", str(serving)], prog_name="flyte-ray")
        assert done.exit_code == 0, done.output
        return done.stdout

    said = started("serve", str(file), "files", "--root-dir", str(file.parents[1]), "--address", ray_address)
    url = re.search(r"App files answers at (\S+)", said)
    assert url is not None and "token" not in said
    assert httpx.get(url[1], trust_env=False, timeout=60).status_code == 200
    assert re.search(r"files +active +RUNNING +1 running +http://127.0.0.1:\d+/archive", cli("get", "app", "files"))
    # The app's cluster is on record.
    assert '"GET / HTTP/1.1" 200' in started("get", "logs", "--app", "files")
    started("update", "app", "files", "--deactivate")
    assert httpx.get(url[1], trust_env=False, timeout=60).status_code == 404
    assert "deactivated" in cli("get", "app", "files")
    # Ray shows besides what replicas print.
    assert f"App files answers at {url[1]}" in cli("update", "app", "files", "--activate").splitlines()
    assert httpx.get(url[1], trust_env=False, timeout=60).status_code == 200
    # Served but no longer on record, it can be ended all the same.
    delete_app(open_store(serving), "files")
    assert "Deleted app files." in cli("delete", "app", "files").splitlines()
    assert httpx.get(url[1], trust_env=False, timeout=60).status_code == 404
    assert "files" not in cli("get", "app")


def test_the_ready_apps_are_deployed_by_their_config_files(serving: Path) -> None:
    flyte.run(train, slope=3.0)
    files = [yaml.safe_load((TOP / "serve" / f"{name}.yaml").read_text()) for name in ("api", "model")]
    applications = [application for file in files for application in file["applications"]]
    for application in applications:
        application["args"]["root"] = str(serving)
        application["runtime_env"]["env_vars"]["PYTHONPATH"] = str(TOP)
        application["deployments"][0].update(num_replicas=1, ray_actor_options={"num_cpus": 0.1})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # see shut_serve_down
        from ray import serve
        from ray.serve.schema import ServeDeploySchema
    client = serve.context._get_global_client()
    for file in files:  # as written but for what is said above
        client.deploy_apps(ServeDeploySchema.model_validate({**file, "applications": applications}))
    url = f"http://127.0.0.1:{os.environ[PORT_VAR]}/apps"
    until(lambda: all(serve.status().applications[name].status == "RUNNING" for name in ("api", "model")))
    with httpx.Client(trust_env=False, timeout=60) as http:
        assert http.get(f"{url}/api/api/runs").status_code == 401
        reading = token_for(serving, "api:read")
        listed = http.get(f"{url}/api/api/runs", headers=reading).json()["runs"]
        assert "training.train" in [run["task"] for run in listed]
        rows = {"rows": [[4.0, 2.0]]}
        answer = http.post(f"{url}/model/predict", json=rows, headers=token_for(serving, "app:model"))
        assert answer.json()["predictions"] == pytest.approx([12.0])
    for name in ("api", "model"):
        serve.delete(name)


def test_an_app_is_served_again_when_the_cluster_has_lost_it(serving: Path) -> None:
    import ray

    from flyte_ray.cluster.names import NAMESPACE, ledger_name

    class Asker:
        def state(self) -> str:
            from flyte_ray.cluster.serving import states

            return str(states()["echo"]["status"])

    handle = flyte.serve(served_apps.echo)
    asker = ray.remote(Asker).options(num_cpus=0).remote()
    assert ray.get(asker.state.remote()) == "RUNNING"
    shut_serve_down()
    # Its ledger starts again, as after a loss of the node.
    ray.kill(ray.get_actor(ledger_name(open_store(serving).uri), NAMESPACE), no_restart=False)
    until(lambda: handle.is_active())
    # Ray may ask a process that knew the Serve that is lost.
    assert ray.get(asker.state.remote()) == "RUNNING"
    with connect(f"{served_apps.echo.endpoint.replace('http', 'ws')}/", open_timeout=60) as websocket:
        websocket.send("again")
        assert websocket.recv() == "again?"


def test_haproxy_takes_requests_and_what_needs_no_token_is_said(
    serving: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    delete_all()
    shut_serve_down()
    monkeypatch.setenv(PORT_VAR, str(free_port()))
    monkeypatch.setenv(HAPROXY_VAR, "1")
    port = int(os.environ[PORT_VAR])
    refused = pytest.raises(DeploymentError, match=f"Ray Serve should listen on port {port} of 0.0.0.0, but")
    with socket.create_server(("127.0.0.1", port)), refused:
        flyte.serve(served_apps.shop)
    handle = flyte.serve(served_apps.shop)
    assert "127.0.0.1" not in handle.endpoint and "needs no token" not in caplog.text
    right = token_for(serving, "app:shop")
    with client_of(handle) as client:
        assert client.get("/about").status_code == 401
        assert client.get("/about", headers=right).status_code == 200
        assert client.get("/events", headers=right).text == "data: 0\n\ndata: 1\n\ndata: 2\n\n"
    with connect(f"{handle.endpoint.replace('http', 'ws')}/ws", additional_headers=right, open_timeout=60) as websocket:
        websocket.send("hello")
        assert websocket.recv() == "hello!"
    with client_of(flyte.serve(served_apps.files)) as client:
        assert client.post("/", content="abc").text.endswith(" abc")
    assert "who reaches it needs no token for /archive. Declare requires_auth=True" in caplog.text
