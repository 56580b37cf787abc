"""The verbs for apps and tokens that need no cluster."""

from __future__ import annotations

import dataclasses
import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner, Result

import flyte_ray as flyte
from flyte_ray.cli.main import main
from flyte_ray.ledger.apps import AppRecord, add_revision, find_app, put_address
from flyte_ray.ledger.tokens import find_token
from flyte_ray.storage import open_store
from tests.ray_cluster import free_port, ray_environ

FILE = """
import sys
from flyte_ray.app import AppEnvironment, Parameter

files = AppEnvironment(
    "files",
    command=[sys.executable, "-c", "import os; print(os.environ['TITLE'], os.environ['COLOUR'], flush=True);"
             "import http.server; http.server.test(http.server.SimpleHTTPRequestHandler, port=int(os.environ['PORT']),"
             "bind='127.0.0.1')"],
    port=PORT,
    parameters=[Parameter("title", value="none", env_var="TITLE")],
)
"""
Cli = Callable[..., Result]


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cli]:
    monkeypatch.setenv("FLYTE_RAY_ROOT", str(tmp_path / "root"))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield lambda *words: CliRunner().invoke(main, words, prog_name="flyte-ray")
    flyte.init()


def test_an_app_is_served_here_until_ctrl_c(tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "apps.py").write_text(FILE.replace("PORT,", f"{port},"))
    words = ["serve", "--local", "apps.py", "--parameter", "title=mine", "--env-var", "COLOUR=red"]
    process = subprocess.Popen(
        [sys.executable, "-m", "flyte_ray.cli.main", *words],
        cwd=tmp_path,
        env={**ray_environ(), "FLYTE_RAY_ROOT": str(tmp_path / "root"), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    seen: list[str] = []
    with process.stdout as lines:
        for line in lines:
            seen.append(line)
            if "Ctrl-C ends it." in line:
                break
        assert any(line == "mine red\n" for line in seen), seen
        assert f"App files answers at http://localhost:{port}\n" in seen
        assert httpx.get(f"http://127.0.0.1:{port}", trust_env=False, timeout=60).status_code == 200
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}", trust_env=False, timeout=60)


def test_tokens_are_made_listed_and_deleted(cli: Cli, tmp_path: Path) -> None:
    text = cli("create", "token", "mine", "--scope", "app:shop", "--scope", "api:read").output.strip()
    token = find_token(open_store(tmp_path / "root"), text)
    assert token is not None and token.scopes == ("api:read", "app:shop")
    listed = cli("get", "token").output
    assert re.search(rf"{token.id} +mine +api:read, app:shop", listed) and text not in listed
    other = json.loads(cli("create", "token", "other", "--scope", "app:*", "-o", "json").output)
    assert other["token"].startswith(f"frt_{other['id']}_") and other["scopes"] == ["app:*"]
    assert cli("delete", "token", "mine").output == "Deleted token mine.\n"
    assert [each["name"] for each in json.loads(cli("get", "token", "-o", "json").output)] == ["other"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["serve", "apps.py", "shop", "--local"], "Expected the name of an app of apps.py, got 'shop'. It has: files."),
        (
            ["create", "token", "t", "--scope", "all"],
            "A scope must be app:NAME, app:*, api:read or api:write, got 'all'",
        ),
        (["delete", "token", "t"], "Expected the id or the name of one token, got 't', which none of 0 have."),
        (["get", "app", "shop"], "should hold an app 'shop', but does not. 'flyte-ray get app' lists those it holds."),
        (["update", "app", "shop"], "Say what to change: --activate, --deactivate or --refresh."),
        (["update", "app", "shop", "--activate", "--force"], "--force goes with --deactivate"),
        (["update", "app", "shop", "--refresh"], "should hold an app 'shop', but does not."),
        (["delete", "app", "shop"], "should hold an app 'shop', but does not."),
    ],
)
def test_what_cannot_be_meant_is_said_in_a_sentence(
    cli: Cli, words: list[str], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "apps.py").write_text(FILE.replace("PORT,", "8080,"))
    monkeypatch.chdir(tmp_path)
    result = cli(*words)
    assert result.exit_code == 2 and sentence in result.output.replace("\n", " "), result.output


SHOP = AppRecord("shop", 0, "v1", "active", 5, "me", "/apps/shop", "asgi", {}, None, {}, {})


@pytest.mark.parametrize("words", [["update", "app", "shop", "--deactivate"], ["delete", "app", "shop"]])
def test_an_active_app_is_changed_only_where_its_cluster_is_reached(cli: Cli, tmp_path: Path, words: list[str]) -> None:
    store = open_store(tmp_path / "root")
    before = add_revision(store, SHOP)
    result = cli(*words)
    assert result.exit_code == 1 and "Give --address HOST:PORT, or --force" in result.output, result.output
    nobody = f"127.0.0.1:{free_port()}"
    put_address(store, "shop", "", nobody)
    result = cli(*words)
    assert result.exit_code == 1 and f"nothing was changed. Give --address {nobody}, or --force" in result.output
    assert find_app(store, "shop") == before
    assert cli(*words, "--force").exit_code == 0
    after = find_app(store, "shop")
    assert after is None or after.state == "deactivated"


def test_an_app_of_a_command_that_has_ended_is_shown_so_and_changed_without_its_cluster(
    cli: Cli, tmp_path: Path
) -> None:
    store = open_store(tmp_path / "root")
    nobody = f"127.0.0.1:{free_port()}"
    add_revision(store, dataclasses.replace(SHOP, app={"type": "x", "requires_auth": True}, lasting=False))
    put_address(store, "shop", "http://127.0.0.1:1/apps/shop", nobody)
    [shown] = json.loads(cli("get", "app", "-o", "json").output)
    assert shown["status"] == "UNKNOWN"
    assert shown["message"] == f"no answer from its cluster at {nobody}: it was served as long as its command ran"
    assert cli("update", "app", "shop", "--deactivate").output == "App shop is deactivated.\n"
    [shown] = json.loads(cli("get", "app", "shop", "-o", "json").output)
    assert (shown["wanted"], shown["status"], shown["url"]) == ("deactivated", "", "")


def test_a_root_without_apps_lists_none(cli: Cli) -> None:
    assert cli("get", "app").output == "none\n"
