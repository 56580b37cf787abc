"""The console, asked as a browser would: its pages, and what they may load."""

from __future__ import annotations

import json
import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

import flyte_ray as flyte
from benchmarks.console import make, make_run, measure
from flyte_ray.apps.http_api import values
from flyte_ray.apps.http_api.reading import folded_runs
from flyte_ray.apps.http_api.runs import Following
from flyte_ray.cli.main import main
from flyte_ray.console.building import build_console
from flyte_ray.io import File
from flyte_ray.ledger import recorder
from flyte_ray.runtime.blobs import RunBlobs, blobs_at
from flyte_ray.storage import open_store
from flyte_ray.types.previews import Stored
from flyte_ray.types.signing import Pickling
from tests import console_tasks as shown
from tests.asgi_client import Client
from tests.waiting import within

until = within(60)

pytestmark = pytest.mark.filterwarnings("ignore:Values of type .* have no typed form")


@pytest.fixture
def console(tmp_path: Path) -> Iterator[Client]:
    flyte.init(root=tmp_path)
    yield Client(build_console())
    flyte.init()


@pytest.mark.parametrize("page", ["/", "/runs/r", "/runs/r/actions/a0", "/apps", "/apps/shop", "/cache", "/login"])
def test_a_page_loads_nothing_but_the_console_s_own_files(console: Client, page: str) -> None:
    answer = console.get(page)
    assert answer.status_code == 200 and answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "script-src 'self'" in policy and "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "http://" not in answer.text and "https://" not in answer.text


def test_the_pages_files_are_sent_again_only_if_they_changed(console: Client) -> None:
    answer = console.get("/static/main.js")
    assert answer.headers["content-type"].startswith("text/javascript") and answer.text.startswith("// ")
    kept = {"If-None-Match": answer.headers["etag"]}
    assert console.get("/static/main.js", headers=kept).status_code == 304
    assert console.get("/static/..%2Fpages.py").status_code == 404
    assert console.get("/static/console.css").headers["content-type"].startswith("text/css")


def test_what_an_address_says_is_escaped(console: Client) -> None:
    text = console.get("/runs/%3Cscript%3Ealert(1)%3C%2Fscript%3E").text
    assert "alert(1)" not in text or "<script>alert" not in text


def test_a_run_s_tree_is_read_as_columns(console: Client, tmp_path: Path) -> None:
    make_run(open_store(tmp_path), "r", 250, 1_000_000)
    tree = console.get("/api/runs/r/table").json()
    assert len(tree["id"]) == len(tree["parent"]) == 250 and tree["id"][0] == "a0"
    assert console.get("/api/runs/unknown/table").status_code == 404


def outputs(console: Client, run: str) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in console.get(f"/api/runs/{run}/actions/a0").json()["outputs"]}


def test_values_are_shown_by_what_they_are_and_no_pickle_is_loaded(console: Client) -> None:
    run = flyte.with_runcontext(mode="local").run(shown.values, words="long", scale=0.5).name
    about = console.get(f"/api/runs/{run}/actions/a0").json()
    assert {each["name"]: each["value"] for each in about["inputs"]} == {"words": "long", "scale": 0.5}
    found = {each["name"]: each for each in about["outputs"]}
    assert [each["kind"] for each in found.values()] == [
        *("table", "image", "dir", "text", "pickle", "array", "json"),
    ]
    assert found["o0"]["rows"] == 1000 and found["o0"]["schema"] == [["number", "int64"], ["word", "string"]]
    assert found["o2"]["preview"] == "notes.txt" and found["o2"]["size"] == 5
    assert found["o2"]["entries"] == [["notes.txt", 5]]
    assert not found["o3"]["whole"] and len(found["o3"]["preview"]) == 4096 and found["o3"]["size"] == 8000
    assert "(2, 3)" in found["o5"]["preview"] and found["o6"]["value"] == {"a": 1}


def test_a_table_is_read_in_pages(console: Client) -> None:
    run = flyte.with_runcontext(mode="local").run(shown.values, words="w", scale=1.0).name
    place = f"/api/runs/{run}/actions/a0/values/outputs"
    page = console.get(f"{place}/o0/rows?start=998&count=10").json()
    assert page["columns"] == ["number", "word"] and page["total"] == 1000
    assert page["rows"] == [[998, "<b>998"], [999, "<b>999"]]
    refused = console.get(f"{place}/o3/rows")
    assert refused.status_code == 400 and "should be a table" in refused.json()["detail"]


@pytest.mark.parametrize("is_near", [True, False])
def test_tables_are_read_from_files_too_wherever_they_lie(
    console: Client, monkeypatch: pytest.MonkeyPatch, is_near: bool
) -> None:
    frame = flyte.with_runcontext(mode="local").run(shown.frame).name
    arrow = flyte.with_runcontext(mode="local").run(shown.values, words="w", scale=1.0).name
    if not is_near:  # as on S3, where Arrow asks for what it needs
        monkeypatch.setattr(RunBlobs, "local_path", lambda blobs, uri: None)
    (about,) = console.get(f"/api/runs/{frame}/actions/a0").json()["outputs"]
    assert (about["kind"], about["rows"], [name for name, _ in about["schema"]]) == (
        *("table", 250),
        ["n", "part", "none"],
    )
    page = console.get(f"/api/runs/{frame}/actions/a0/values/outputs/o0/rows?start=248&count=9").json()
    assert page["rows"] == [[248, "[1, 2]", None], [249, "[1, 2]", None]] and page["total"] == 250
    page = console.get(f"/api/runs/{arrow}/actions/a0/values/outputs/o0/rows?start=5&count=1").json()
    assert page["rows"] == [[5, "<b>5"]]


def test_a_value_is_downloaded_and_nothing_in_it_runs(console: Client) -> None:
    run = flyte.with_runcontext(mode="local").run(shown.values, words="w", scale=1.0).name
    place = f"/api/runs/{run}/actions/a0/values/outputs"
    image = console.get(f"{place}/o1/content")
    assert image.content == shown.PNG and image.headers["content-type"] == "image/png"
    assert "sandbox" in image.headers["content-security-policy"]
    assert console.get(f"{place}/o2/content?path=notes.txt").content == b"noted"
    assert console.get(f"{place}/o2/content?path=../../spec.json").status_code == 404
    text = console.get(f"{place}/o3/content")
    assert text.text == "w" * 2000 and text.headers["content-disposition"].startswith("attachment")
    assert console.get(f"{place}/o9/content").status_code == 404


def test_no_file_of_the_server_is_sent_but_what_lies_with_the_run(console: Client, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hidden")
    for uri in (f"file://{secret}", f"local://{secret}"):
        run = flyte.with_runcontext(mode="local").run(shown.returned, file=File.from_existing_remote(uri)).name
        for place in ("inputs/file", "outputs/o0"):
            answer = console.get(f"/api/runs/{run}/actions/a0/values/{place}/content")
            assert answer.status_code == 400 and "should lie with its run" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("uri", "is_sent"), [("s3://others/a.csv", True), ("s3://ours/root/tokens/t.json", False), ("file:///etc/x", False)]
)
def test_of_an_object_store_what_a_file_names_is_sent_and_nothing_of_the_root(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, uri: str, is_sent: bool
) -> None:
    monkeypatch.setattr(values, "current_store", lambda: SimpleNamespace(uri="s3://ours/root"))
    located = {"path": uri, "name": "a", "format": "", "hash": None}
    stored = Stored("file", located, blobs_at(open_store(tmp_path), "runs/r/data", Pickling()))
    assert values._is_file_elsewhere(stored, uri) is is_sent


def test_the_line_that_failed_is_named(console: Client) -> None:
    run = flyte.with_runcontext(mode="local").run(shown.total, rows=4).name
    cause = console.get(f"/api/runs/{run}/actions/a0").json()["error"]["cause_action"]
    code = console.get(f"/api/runs/{run}/actions/{cause}").json()["code"]
    assert "raise" in code["text"].splitlines()[code["failing"] - code["line"]]


def test_a_failed_action_says_which_one_below_it_caused_that(console: Client) -> None:
    run = flyte.with_runcontext(mode="local").run(shown.total, rows=4).name
    tree = console.get(f"/api/runs/{run}/table").json()
    failed = [row for row, phase in enumerate(tree["phase"]) if tree["phases"][phase] == "failed"]
    assert failed[0] == 0 and len(failed) == 2 and tree["groups"] == ["prices"]
    about = console.get(f"/api/runs/{run}/actions/a0").json()
    assert about["error"]["code"] == "ValueError" and "in total" in about["error"]["traceback"]
    assert about["error"]["cause_action"] == tree["id"][failed[1]]
    assert about["environment"]["env"] == "shown" and "hidden" not in json.dumps(about["environment"])
    assert [each["kind"] for each in about["events"]] == ["CALLED", "STARTED", "FAILED"]
    assert about["code"]["file"].endswith("tests/console_tasks.py")
    assert about["code"]["text"].startswith("@env.task\ndef total(rows: int) -> int:")
    assert f"rerun {run} --action-name a0 --local" in about["debug_line"]


def test_each_attempt_has_its_times_and_what_it_printed(console: Client) -> None:
    run = flyte.with_runcontext(mode="local").run(shown.unsteady).name
    about = console.get(f"/api/runs/{run}/actions/a0").json()
    first, second = about["attempt_list"]
    assert (first["outcome"], first["error"], second["outcome"]) == ("retried", "OSError: not reached", "succeeded")
    assert first["queued_us"] <= first["started_us"] <= first["ended_us"] <= second["started_us"] <= second["ended_us"]
    assert [step["step"].rpartition(".")[2] for step in about["steps"]] == ["ask"]
    logs = f"/api/runs/{run}/actions/a0/logs"
    assert console.get(logs).json() == {"attempt": 1, "text": "second\n", "next": 7}
    assert console.get(f"{logs}?attempt=0").json()["text"] == "first\n"
    assert console.get(f"{logs}?attempt=0&after=3").json() == {"attempt": 0, "text": "st\n", "next": 6}
    followed = events(console.get(f"{logs}/follow?attempt=0").text)
    assert followed == [("text", {"attempt": 0, "text": "first\n", "next": 6}), ("end", {})]


def events(text: str) -> list[tuple[str, Any]]:
    """The server-sent events in a text."""
    found = []
    for part in text.strip().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in part.splitlines() if not line.startswith(":"))
        if fields:
            found.append((fields["event"], json.loads(fields["data"])))
    return found


def test_who_was_cut_off_hears_only_what_is_new(console: Client, tmp_path: Path) -> None:
    make_run(open_store(tmp_path), "r", 250, 1_000_000)
    told = events(console.get("/api/runs/r/changes").text)
    assert [kind for kind, _ in told] == ["rows", "run", "end"]
    assert len(told[0][1]["row"]) == 250 and told[-1][1]["phase"] == "succeeded"
    assert told[0][1]["critical"] == console.get("/api/runs/r/table").json()["critical"]
    position = told[0][1]["position"]
    again = events(console.get("/api/runs/r/changes", headers={"Last-Event-ID": str(position)}).text)
    assert [kind for kind, _ in again] == ["run", "end"]


def test_who_follows_a_run_has_it_stored_what_is_recorded(console: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "LINGER_S", 3600.0)
    local = flyte.with_runcontext(mode="local", name="followed")
    running = threading.Thread(target=local.run, args=(shown.waiting_for_the_console,), daemon=True)
    running.start()
    until(lambda: console.get("/api/runs/followed").status_code == 200)
    news = Following(folded_runs().get("followed"), 0)
    seen: set[str] = set()

    def hears_of_the_child() -> bool:
        seen.update(*(each["data"]["tasks"] for each in news()[0] if each["event"] == "rows"))
        return "shown.price" in seen

    until(hears_of_the_child)
    shown.LOOKED.set()
    running.join(60)
    until(lambda: news()[1])


def test_a_run_that_cannot_be_read_hides_no_other(console: Client, tmp_path: Path) -> None:
    for at, name in enumerate(("gone", "changed", "whole"), 1):
        make_run(open_store(tmp_path), name, 3, 1_000_000 * at)
    for path in (tmp_path / "ended").iterdir():
        path.unlink()
    shutil.rmtree(tmp_path / "runs" / "gone")
    (tmp_path / "runs" / "changed" / "actions.arrow").unlink()
    log = tmp_path / "runs" / "changed" / "log" / "00000001.arrow"
    log.write_bytes(log.read_bytes().replace(b"prepare", b"repaired"[:7]))
    found = {run["name"]: run for run in console.get("/api/runs").json()["runs"]}
    assert found["whole"]["phase"] == "succeeded" and "damage" not in found["whole"]
    assert "checksum differs" in found["changed"]["damage"] and "does not" in found["gone"]["damage"]


def test_a_report_runs_in_a_place_of_its_own(console: Client) -> None:
    run = flyte.with_runcontext(mode="local").run(shown.reporting).name
    assert console.get(f"/api/runs/{run}/actions/a0").json()["reports"] == [0]
    assert console.get(f"/api/runs/{run}/actions/../report").status_code == 404
    assert console.get(f"/api/runs/{run}/actions/%2e%2e/report").status_code == 404
    assert console.get("/api/apps/%2e%2e").status_code == 404
    page = console.get(f"/api/runs/{run}/actions/a0/report?attempt=0")
    assert "<p>hello</p>" in page.text
    assert page.headers["content-security-policy"] == "sandbox allow-scripts; frame-ancestors 'self'"


def test_the_console_is_served_by_the_command_line_and_measured(tmp_path: Path) -> None:
    make(open_store(tmp_path), actions=300, runs=3)
    figures = list(measure(str(tmp_path), repeat=2))
    assert len(figures) == 9 and all(figure.median > 0 for figure in figures)


def test_a_port_that_is_taken_is_said(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        said = CliRunner().invoke(main, ["console", "--root", str(tmp_path), "--port", port])
    assert said.exit_code == 1
    assert f"Port {port} of 127.0.0.1 should be free to listen on, but: Address already in use" in said.stderr
    assert said.stderr.endswith("--port 0 takes a free one.\n")
