"""The two sides of a command that runs on the head: what the one tells, the other shows; without Ray between them."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
import zipfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from flyte_ray.api.config import Config, use
from flyte_ray.cli import dashboard
from flyte_ray.cli.job_side import Order, Side
from flyte_ray.cli.main import main
from flyte_ray.cluster import jobs
from flyte_ray.cluster.jobs import Job, require_dashboard
from flyte_ray.errors import ClusterError
from tests import workloads

WORKLOADS = str(Path(workloads.__file__))
ADDRESS = "http://head:8265"
MINE = """
import flyte_ray as flyte

env = flyte.TaskEnvironment("mine")

@env.task
def main(x: int) -> int:
    return x
"""


class Here:
    """Carries an order out in another process of this machine, in the folder in which Ray would."""

    def __init__(self, folder: Path, order: str, files: dict[str, bytes]) -> None:
        self.name = "job"
        with zipfile.ZipFile(io.BytesIO(jobs._pack(files))) as packed:
            packed.extractall(folder)
        path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
        self.done = subprocess.run(
            ["sh", "begin.sh", "flyte_ray.cli.job_side", order],
            cwd=folder,
            env={**os.environ, "PATH": path, "RAY_ADDRESS": "127.0.0.1:1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=60,
        )

    def lines(self) -> Iterator[str]:
        return iter(["Running entrypoint for job", *self.done.stdout.splitlines()])

    def exit_code(self) -> int:
        return self.done.returncode


@pytest.fixture
def sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Order]]:
    """Orders that were carried out."""
    orders: list[Order] = []

    def start(address: str, module: str, order: str, files: dict[str, bytes]) -> Here:
        orders.append(Order(**json.loads(order)))
        folder = tmp_path / f"job-{len(orders)}"
        return Here(folder, order, files)

    monkeypatch.setattr(dashboard, "start_job", start)
    monkeypatch.setattr(dashboard, "require_dashboard", lambda address: None)
    yield orders
    use(Config())


def test_a_command_prints_and_exits_as_it_does_on_the_head(tmp_path: Path, sent: list[Order]) -> None:
    root = str(tmp_path / "root")
    local = CliRunner().invoke(
        main, ["submit", "--local", "--root", root, "--name", "one", WORKLOADS, "square", "--x=3"]
    )
    assert local.exit_code == 0, local.output
    listed = CliRunner().invoke(main, ["get", "run", "--root", root, "--address", ADDRESS, "-o", "json"])
    assert (listed.exit_code, [run["name"] for run in json.loads(listed.stdout)]) == (0, ["one"])
    missing = CliRunner().invoke(main, ["get", "run", "--root", root, "--address", ADDRESS, "two"])
    assert (missing.exit_code, missing.stdout) == (2, "")
    assert missing.stderr.startswith(f"Error: file://{root} should hold a run 'two'")
    assert sent[0].words == ["get", "run", "--root", root, "--address", ADDRESS, "-o", "json"]


def test_the_file_of_a_command_lies_elsewhere_on_the_head(tmp_path: Path, sent: list[Order]) -> None:
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "mine.py").write_text(MINE)
    file = str(tmp_path / "flows" / "mine.py")
    done = CliRunner().invoke(
        main, ["deploy", file, "--root", str(tmp_path / "root"), "--address", ADDRESS, "-o", "json"]
    )
    assert done.exit_code == 0, done.output
    assert [task["task"] for task in json.loads(done.stdout)] == ["mine.main"]
    assert (sent[0].words[1], sent[0].home) == ("flows/mine.py", str(tmp_path))


def test_wrong_words_are_refused_before_a_job_starts(sent: list[Order]) -> None:
    done = CliRunner().invoke(main, ["submit", "--address", ADDRESS, WORKLOADS, "square", "--x", "three"])
    assert (done.exit_code, sent) == (2, [])
    done = CliRunner().invoke(main, ["get", "run", "--address", ADDRESS, "--root", "here"])
    assert (done.exit_code, "should be a URL or a whole path of the head, got 'here'" in done.output) == (2, True)
    assert sent == []


@pytest.mark.parametrize("words", [["secret", "key", "--value", "hunter2!"], ["token", "me", "--scope", "api:read"]])
def test_no_dashboard_is_told_a_secret(sent: list[Order], tmp_path: Path, words: list[str]) -> None:
    done = CliRunner().invoke(main, ["create", *words, "--address", ADDRESS, "--root", str(tmp_path)])
    assert done.exit_code == 2 and "cannot be made through a dashboard" in done.output
    assert not sent and not list(tmp_path.iterdir()), "neither there nor in a folder that only this machine has"


@pytest.mark.parametrize("form", ["-c {}", "--config {}", "--config={}", "-c{}"])
def test_a_file_of_settings_is_read_here(tmp_path: Path, sent: list[Order], form: str) -> None:
    (tmp_path / "mine.yaml").write_text(f"flyte-ray:\n  address: {ADDRESS}\n  root: {tmp_path / 'root'}\n")
    words = form.format(tmp_path / "mine.yaml").split()
    done = CliRunner().invoke(main, [*words, "-o", "json", "get", "run"])
    assert (done.exit_code, done.stdout) == (0, "[]\n"), done.output
    assert (sent[0].words, sent[0].root) == (["-o", "json", "get", "run"], str(tmp_path / "root"))


def test_containers_are_built_here(sent: list[Order], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", ADDRESS)
    done = CliRunner().invoke(main, ["build", "--dry-run", WORKLOADS])
    assert (done.exit_code, sent) == (0, []), done.output


def test_a_file_is_named_as_on_the_users_machine(tmp_path: Path) -> None:
    side = Side(Order([], ADDRESS, None, home="/home/me/work"), tmp_path, io.StringIO(), threading.Lock())
    assert side.home_of(str(tmp_path / "flows" / "mine.py")) == "/home/me/work/flows/mine.py"
    assert side.home_of("/usr/lib/other.py") == "/usr/lib/other.py"


def test_a_picture_of_a_run_that_is_told_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    told = io.StringIO()
    side = Side(Order([], ADDRESS, None), Path(), told, threading.Lock())
    with side.shown("mine") as tell:
        tell({"counts": "1 running", "running": "work.square x1", "waits": [], "pace": "1.0 s", "has_begun": True})
    shown = dashboard._Shown()
    for line in told.getvalue().splitlines():
        shown.take(line)
    assert capsys.readouterr().err == "mine  1 running  |  work.square x1  |  1.0 s\n"


def test_what_a_job_printed_comes_once_over_a_connection_that_was_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "AGAIN_S", 0.01)
    texts = [["one\ntw"], ["one\n", "two\nthr", "ee\n", "four"]]

    class Client:
        async def tail_job_logs(self, name: str) -> AsyncIterator[str]:
            for text in texts[0]:
                yield text
            if len(texts) > 1:
                texts.pop(0)
                raise RuntimeError("closed")

    assert list(Job(Client(), "job", ADDRESS).lines()) == ["one", "two", "three", "four"]


@pytest.mark.parametrize(
    ("status", "code", "expected"), [("SUCCEEDED", 0, 0), ("FAILED", 7, 7), ("STOPPED", None, 130)]
)
def test_the_exit_code_is_that_of_the_command(status: str, code: int | None, expected: int) -> None:
    assert Job(_client(status, code), "job", ADDRESS).exit_code() == expected


def test_a_dashboard_that_is_away_at_the_end_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "AGAIN_S", 0.01)
    client = _client("FAILED", 7)
    answers = iter([ConnectionError("refused"), RuntimeError("502"), client.get_job_info("job")])

    def ask(name: str) -> SimpleNamespace:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    client.get_job_info = ask
    assert Job(client, "job", ADDRESS).exit_code() == 7


def test_a_dashboard_that_stays_away_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "LOST_S", 0.05)
    monkeypatch.setattr(jobs, "AGAIN_S", 0.01)
    client = _client("FAILED", 7)
    client.stop_job = client.get_job_info = lambda name: int("no number")
    job = Job(client, "job", ADDRESS)
    for ask in (job.stop, job.exit_code):
        with pytest.raises(ClusterError, match="does not answer any more"):
            ask()


def test_a_job_that_cannot_begin_says_why() -> None:
    with pytest.raises(ClusterError, match=r"could not begin at http://head:8265: no disk"):
        Job(_client("FAILED", None), "job", ADDRESS).exit_code()


def _client(status: str, code: int | None) -> SimpleNamespace:
    class Status(str):
        def is_terminal(self) -> bool:
            return True

    async def nothing(name: str) -> AsyncIterator[str]:
        for text in [""][1:]:
            yield text

    info = SimpleNamespace(status=Status(status), driver_exit_code=code, message="no disk")
    return SimpleNamespace(get_job_info=lambda name: info, tail_job_logs=nothing)


def test_what_is_no_dashboard_is_refused_with_what_it_says() -> None:
    with _server(404) as address, pytest.raises(ClusterError, match="what listens there says 404"):
        require_dashboard(address)
    with pytest.raises(ClusterError, match=r"A dashboard of Ray's should listen at 127.0.0.1:1, but"):
        require_dashboard("http://127.0.0.1:1")
    with _server(200) as address:
        require_dashboard(address)


@contextmanager
def _server(status: int) -> Iterator[str]:
    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(b'{"ray_version": "2.60.0"}')

        def log_message(self, format: str, *args: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
