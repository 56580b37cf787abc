"""The console, asked as a browser would: its pages, and what they may load."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import flyte_ray as flyte
from benchmarks.console import make_run
from flyte_ray.console.building import build_console
from flyte_ray.storage import open_store
from tests.asgi_client import Client


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


def test_what_an_address_says_is_escaped(console: Client) -> None:
    text = console.get("/runs/%3Cscript%3Ealert(1)%3C%2Fscript%3E").text
    assert "alert(1)" not in text or "<script>alert" not in text


def test_a_run_s_tree_is_read_as_columns(console: Client, tmp_path: Path) -> None:
    make_run(open_store(tmp_path), "r", 250, 1_000_000)
    tree = console.get("/api/runs/r/table").json()
    assert len(tree["id"]) == len(tree["parent"]) == 250 and tree["id"][0] == "a0"
    assert console.get("/api/runs/unknown/table").status_code == 404
