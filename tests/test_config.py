"""Settings: one name each in config files, variables and pyproject.toml; the nearest place wins."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import flyte_ray as flyte
from flyte_ray.api.config import Config, use
from flyte_ray.api.settings import current_store, settings
from flyte_ray.cli.main import main
from flyte_ray.errors import InvalidDeclaration
from flyte_ray.spec.setting import SETTINGS

TOP = Path(__file__).parent.parent
NO_SETTINGS = {
    *("FLYTE_RAY_KEY", "FLYTE_RAY_SECRETS_KEY", "FLYTE_RAY_SECRETS_KEY_FILE"),
    *("FLYTE_RAY_SECRETS_DIR", "FLYTE_RAY_ENV_FILE", "FLYTE_RAY_SECRETS"),
    *("FLYTE_RAY_APP_PARAMETERS", "FLYTE_RAY_SLOT", "FLYTE_RAY_BUNDLE", "FLYTE_RAY_COMPLETE"),
}
"""Secrets and where they lie, what a process of ours tells another one, and how a shell asks for completion."""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project with a git root in whose folder `work` the commands run, and a home without files."""
    for setting in SETTINGS.values():
        monkeypatch.delenv(setting.variable, raising=False)
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    folder = tmp_path / "project"
    (folder / "work").mkdir(parents=True)
    (folder / ".git").mkdir()
    monkeypatch.chdir(folder / "work")
    yield folder
    monkeypatch.undo()
    use(Config())
    flyte.init(log_level="WARNING", user_log_level="INFO")


def write(folder: Path, text: str) -> Path:
    (folder / ".flyte").mkdir(exist_ok=True)
    path = folder / ".flyte" / "config.yaml"
    path.write_text(text)
    return path


def call(*words: str) -> Result:
    return CliRunner().invoke(main, words, prog_name="flyte-ray")


def shown(*words: str) -> dict[str, tuple[Any, str]]:
    result = call("get", "config", "-o", "json", *words)
    assert result.exit_code == 0, result.output
    return {row["setting"]: (row["value"], row["from"]) for row in json.loads(result.stdout)}


def test_there_are_at_most_a_dozen_settings_and_no_variable_beside_them() -> None:
    assert len(SETTINGS) <= 12
    assert all(setting.about and setting.default for setting in SETTINGS.values())
    text = "".join(path.read_text() for path in (TOP / "flyte_ray").rglob("*.py"))
    named = set(re.findall(r"FLYTE_RAY_[A-Z_]+[A-Z]", text))
    assert named - {setting.variable for setting in SETTINGS.values()} == NO_SETTINGS


def test_the_nearest_place_that_has_a_setting_wins(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = write(Path.home(), "flyte-ray: {root: s3://home/runs, pickles: refuse, smtp_from: me@home, log_level: INFO}")
    toml = project / "pyproject.toml"
    toml.write_text('[tool.flyte-ray]\nroot = "s3://toml/runs"\npickles = "sign"\nsmtp_from = "me@toml"\n')
    top = write(project, "admin: {endpoint: flyte}\nflyte-ray: {root: s3://top/runs, pickles: accept_unsigned}")
    here = write(project / "work", "flyte-ray: {root: s3://here/runs}")
    expected = {
        "root": ("s3://here/runs", str(here)),
        "pickles": ("accept_unsigned", str(top)),
        "smtp_from": ("me@toml", str(toml)),
        "log_level": ("INFO", str(home)),
        "serve_port": ("8000", "default"),
    }
    assert {name: shown()[name] for name in expected} == expected
    monkeypatch.setenv("FLYTE_RAY_PICKLES", "refuse")
    assert shown()["pickles"] == ("refuse", "FLYTE_RAY_PICKLES")
    assert shown("--root", "./mine")["root"] == ("./mine", "option")


def test_a_run_is_recorded_where_the_file_says(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(project, "flyte-ray: {root: ./runs, user_log_level: error}")
    flyte.init_from_config()
    assert current_store().uri == f"file://{project / 'runs'}"
    assert flyte.logger.level == 40
    flyte.init()  # as a submitted file may
    assert current_store().uri == f"file://{project / 'runs'}"
    flyte.init(root=project / "other")
    assert current_store().uri == f"file://{project / 'other'}"
    monkeypatch.setenv("FLYTE_RAY_ROOT", str(project / "third"))
    flyte.init_from_config()
    assert current_store().uri == f"file://{project / 'third'}"


def test_what_init_takes_may_come_from_a_variable(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLYTE_RAY_ROOT_DIR", str(project))
    monkeypatch.setenv("FLYTE_RAY_STORAGE", '{"endpoint_url": "http://minio:9000"}')
    flyte.init()
    assert (settings.root_dir, settings.storage) == (str(project), {"endpoint_url": "http://minio:9000"})
    monkeypatch.setenv("FLYTE_RAY_STORAGE", "minio")
    with pytest.raises(InvalidDeclaration, match="'storage' must be a mapping of fsspec arguments"):
        flyte.init()


def test_what_is_read_from_variables_follows_the_file_in_use(project: Path) -> None:
    first = project / "first.yaml"
    first.write_text("flyte-ray: {serve_port: 8100, serve_haproxy: true}")
    flyte.init_from_config(first)
    assert (os.environ["FLYTE_RAY_SERVE_PORT"], os.environ["FLYTE_RAY_SERVE_HAPROXY"]) == ("8100", "1")
    flyte.init_from_config()
    assert "FLYTE_RAY_SERVE_PORT" not in os.environ


def test_the_command_reads_the_file_it_is_given_alone(project: Path) -> None:
    write(project, "flyte-ray: {pickles: refuse}")
    other = project / "other.yaml"
    other.write_text("flyte-ray: {root: ./there}")
    result = call("-c", str(other), "get", "config", "-o", "json")
    found = {row["setting"]: (row["value"], row["from"]) for row in json.loads(result.stdout)}
    assert (found["root"], found["pickles"][1]) == ((str(project / "there"), str(other)), "default")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("flyte-ray: {rooot: x}", "sets 'rooot', which is no setting. Did you mean 'root'?"),
        ("flyte-ray: {zzz: x}", "which is no setting. There are: root, address,"),
        ("flyte-ray: {pickles: maybe}", "Setting 'pickles' must be one of sign, refuse, accept_unsigned, got 'maybe'"),
        ("flyte-ray: {serve_port: 99999}", "must be a port from 1 to 65535, got 99999"),
        ("flyte-ray: {serve_haproxy: often}", "must be true or false (in a variable: 1 or 0), got 'often'"),
        ("flyte-ray: {log_level: loud}", "must be a number or one of DEBUG, INFO"),
        ("flyte-ray: [root]", "must hold settings by name, got ['root']"),
        ("flyte-ray: {root", "config.yaml should be YAML, but: while parsing a flow mapping"),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused_in_a_sentence(project: Path, text: str, said: str) -> None:
    path = write(project, text)
    result = call("get", "run")
    assert (result.exit_code, str(path) in result.stderr) == (2, True)
    assert said in " ".join(result.stderr.split())


def test_a_file_that_is_not_ours_is_left_alone(project: Path) -> None:
    write(project, "admin: {endpoint: [}")
    (project / "pyproject.toml").write_text("[tool.other\n")
    assert {origin for _, origin in shown().values()} == {"default"}


def test_a_config_file_is_made_and_read_back(project: Path) -> None:
    made = call("create", "config", "--root", "s3://team/runs", "--set", "log_level=info", "--set", "serve_port=8100")
    assert made.exit_code == 0, made.output
    path = project / "work" / ".flyte" / "config.yaml"
    expected = {"root": "s3://team/runs", "log_level": "INFO", "serve_port": "8100"}
    assert {name: value for name, (value, origin) in shown().items() if origin == str(path)} == expected
    again = call("create", "config")
    assert (again.exit_code, "Edit it, or replace it with --force" in again.stderr) == (2, True)
    assert call("create", "config", "--force").exit_code == 0
    assert {origin for _, origin in shown().values()} == {"default"}
    examples = (line.removeprefix("# ").replace("  # ", "  ", 1) for line in path.read_text().splitlines())
    path.write_text("\n".join(line for line in examples if re.match(r"flyte-ray:|  [a-z_]+: ", line)))
    assert {origin for _, origin in shown().values()} == {str(path)}  # each example may be meant


def test_a_password_is_not_shown(project: Path) -> None:
    write(project, "flyte-ray: {smtp: 'smtp://me:secret@mail:25'}")
    assert shown()["smtp"][0] == "smtp://me:***@mail:25"


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(InvalidDeclaration, match="'flyte-ray create config' makes one"):
        flyte.init_from_config("nowhere.yaml")


NAMES = "{'ray', 'pyarrow', 'pydantic', 'rich', 'yaml', 'flyte_ray.api', 'fsspec', 'pyarrow.compute', 'email.message'}"
PLAIN = """
import flyte_ray as flyte

env = flyte.TaskEnvironment("plain")


@env.task
def double(x: int) -> int:
    return 2 * x
"""


def imported_by(*words: str) -> str:
    """Those of the modules that take long which the command has imported, in a process of its own."""
    program = (
        "import sys\nfrom click.testing import CliRunner\nfrom flyte_ray.cli.main import main\n"
        f"result = CliRunner().invoke(main, {words!r})\nassert result.exit_code == 0, result.output\n"
        f"print(*sorted({NAMES} & set(sys.modules)))"
    )
    environment = {**os.environ, "PYTHONPATH": str(TOP)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True, timeout=120
    )
    return done.stdout.strip()


def test_the_list_of_verbs_is_shown_without_importing_any_of_them() -> None:
    assert imported_by("--help") == ""


def test_a_task_of_plain_values_is_run_without_importing_what_only_others_need(tmp_path: Path) -> None:
    (tmp_path / "plain.py").write_text(PLAIN)
    words = ("submit", "--local", "--root", str(tmp_path), str(tmp_path / "plain.py"), "double", "--x", "3")
    assert imported_by(*words) == "flyte_ray.api pyarrow"
