"""Secrets as a user meets them, in local mode."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import flyte_ray as flyte
from flyte_ray.cli.main import main
from flyte_ray.errors import InvalidDeclaration
from flyte_ray.storage import open_store
from tests import secret_tasks

VALUE = 's3cr3t-Value/1+&"x'


def invoke(*words: str, given: str | None = None) -> Result:
    return CliRunner().invoke(main, words, input=given)


@pytest.fixture(autouse=True)
def apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FLYTE_RAY_SECRETS_KEY", "a key of sixteen")
    flyte.init(root=tmp_path / "root")


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEY", VALUE)
    monkeypatch.setenv("DB_CERT", "-----BEGIN\nabcdefgh12345678\n-----END\n")


@pytest.mark.usefixtures("held")
def test_what_tasks_let_out_stands_nowhere_in_the_root(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = flyte.with_runcontext("local", name="leaky").run(secret_tasks.all_ways, list(secret_tasks.WAYS))
    told = run.outputs()[0]
    assert told[0] == str(len(VALUE)) and told[1] == "('refused ***', {'key': '***'})"
    assert told[2].startswith("What task keyed.let_out returns must not hold a secret")
    assert told[3].startswith("What task plain.taken is called with must not hold") and "'api-key'" in told[3]
    assert told[4].startswith("What the traced function step gives must not hold")
    raw = b"".join(path.read_bytes() for path in (tmp_path / "root").rglob("*") if path.is_file())
    for form in (VALUE, json.dumps(VALUE)[1:-1], "abcdefgh12345678", "s3cr3t-Value"):
        assert form.encode() not in raw
    assert b"printed ***" in raw and b"<b>***</b>" in raw
    shown = capsys.readouterr()
    assert f"printed {VALUE}" not in shown.out and "complained ***" in shown.err


@pytest.mark.parametrize(
    "how",
    [
        *("the code of an error", "the name of a group", "a value of a wrong class", "the variables of a task"),
        "the name of a file",
    ],
)
def test_a_secret_stands_nowhere_in_the_root_by_way_of(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_KEY", "s3cr3t-" + "0123456789" * 9)
    monkeypatch.setenv("DB_CERT", "cert")
    with pytest.raises(flyte.errors.RuntimeUserError) as failed:
        flyte.with_runcontext("local").run(secret_tasks.odd_ways, how).outputs()
    found = sorted((tmp_path / "root").rglob("*"))
    raw = b"".join(bytes(path) + (path.read_bytes() if path.is_file() else b"") for path in found)
    assert b"s3cr3t-0123" not in raw and "s3cr3t-0123" not in f"{failed.value} {failed.value.code}"


def test_a_step_that_is_called_with_a_secret_number_is_found_by_the_next_attempt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("API_KEY", "12345678")
    monkeypatch.setenv("DB_CERT", "cert")
    assert flyte.with_runcontext("local").run(secret_tasks.odd_ways, "a number").outputs() == (12345678 % 7,)


@pytest.mark.usefixtures("held")
def test_what_a_run_is_started_with_must_not_hold_a_secret(tmp_path: Path) -> None:
    for runner, how in (
        (flyte.with_runcontext("local"), VALUE),
        (flyte.with_runcontext("local", env_vars={"A": VALUE}), "x"),
        (flyte.with_runcontext("local", labels={"a": VALUE}), "x"),
        (flyte.with_runcontext("local", custom_context={"a": VALUE}), "x"),
    ):
        with pytest.raises(InvalidDeclaration, match="must not hold a secret.+'api-key'"):
            runner.run(secret_tasks.let_out, how)
    assert not list((tmp_path / "root").glob("runs/*"))


@pytest.mark.usefixtures("held")
def test_what_a_run_is_started_again_with_must_not_hold_a_secret_however_large(tmp_path: Path) -> None:
    first = flyte.with_runcontext("local").run(secret_tasks.let_out, "succeed")
    with pytest.raises(flyte.errors.NonRecoverableError, match="must not hold a secret.+'api-key'"):
        flyte.with_runcontext("local").rerun(first.name, how="x" * 200_000 + VALUE)
    raw = b"".join(path.read_bytes() for path in (tmp_path / "root").rglob("*") if path.is_file())
    assert VALUE.encode() not in raw and json.dumps(VALUE)[1:-1].encode() not in raw


@pytest.mark.usefixtures("held")
def test_code_that_travels_by_value_must_not_hold_a_secret(tmp_path: Path) -> None:
    key = os.environ["API_KEY"]
    env = flyte.TaskEnvironment("by-value", secrets="api-key")

    @env.task
    def by_value() -> int:
        return len(key)

    with pytest.raises(
        flyte.errors.NonRecoverableError, match="code of task by-value.by_value, which travels by value"
    ):
        flyte.with_runcontext("local").run(by_value)
    assert not list((tmp_path / "root").glob("runs/*/log*"))


def test_a_missing_secret_is_refused_before_anything_is_recorded(tmp_path: Path) -> None:
    with pytest.raises(
        InvalidDeclaration, match=r"Environment 'keyed' asks for the secret '.+', which was not found in"
    ):
        flyte.with_runcontext("local").run(secret_tasks.all_ways, [])
    assert not list((tmp_path / "root").glob("runs/*"))


def test_a_resumed_run_gets_its_secrets_from_where_it_is_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_KEY", "one-key")
    monkeypatch.setenv("DB_CERT", "cert")
    go = tmp_path / "go"
    with pytest.raises(RuntimeError, match="not yet"):
        flyte.with_runcontext("local", name="again").run(secret_tasks.wait_and_count, str(go)).outputs()
    go.touch()
    monkeypatch.delenv("API_KEY")
    refused = invoke("resume", "again", "--root", str(tmp_path / "root"))
    assert refused.exit_code == 2 and "Run 'again' asks for the secret 'api-key'" in refused.output
    monkeypatch.setenv("API_KEY", "two-key")
    assert invoke("resume", "again", "--root", str(tmp_path / "root")).exit_code == 0
    assert flyte.remote.Run.get("again").outputs() == ("two",)


def test_secrets_are_created_listed_used_and_deleted_without_a_value_in_sight(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = ["--root", str(tmp_path / "root")]
    (tmp_path / "cert.pem").write_text("a cert")
    assert invoke("create", "secret", "api-key", *root, given="of stdin\n").exit_code == 0
    assert invoke("create", "secret", "db/cert", "--from-file", str(tmp_path / "cert.pem"), *root).exit_code == 0
    listed = invoke("get", "secret", "-o", "json", *root)
    assert [row["name"] for row in json.loads(listed.output)] == ["api-key", "db/cert"]
    assert "of stdin" not in listed.output
    told = flyte.with_runcontext("local").run(secret_tasks.let_out, "succeed").outputs()
    assert told == ("8",), "its length"
    gone = invoke("delete", "secret", "api-key", *root)
    assert gone.exit_code == 0 and not open_store(tmp_path / "root").exists("secrets/api-key.json")
    assert "API_KEY" not in os.environ
    del monkeypatch
