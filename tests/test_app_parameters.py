"""What apps are given: text, files, folders, outputs of runs; in the user's own process and on record."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

import flyte_ray as flyte
from flyte_ray.app import Parameter, RunOutput
from flyte_ray.app.extras import FastAPIAppEnvironment
from flyte_ray.apps.deploying import refresh_app
from flyte_ray.apps.parameters import materialize, resolve
from flyte_ray.apps.uploads import upload
from flyte_ray.errors import ParameterMaterializationError
from flyte_ray.io import Dir, File
from flyte_ray.ledger.apps import AppRecord, add_revision
from flyte_ray.storage import Store, open_store
from tests.ray_cluster import free_port

training = flyte.TaskEnvironment("training")


@training.task
def train(words: str, folder: str) -> tuple[int, File, dict[str, list[str]]]:
    path = Path(folder, "model.txt")
    path.write_text(words)
    return len(words), File(path=str(path)), {"words": words.split()}


@training.task
def tree(folder: str) -> Dir:
    return Dir(path=folder)


@training.task
def fail() -> int:
    raise ValueError("no")


@pytest.fixture(autouse=True)
def store(tmp_path: Path) -> Iterator[Store]:
    flyte.init(root=tmp_path / "root")
    yield open_store(tmp_path / "root")


def trained(kind: Any, *getter: Any) -> RunOutput:
    return RunOutput(type=kind, task_name="training.train", getter=getter)


def app_with(*parameters: Parameter) -> FastAPIAppEnvironment:
    return FastAPIAppEnvironment("serving", app=FastAPI(), port=free_port(), parameters=parameters)


def values_of(store: Store, *parameters: Parameter, **given: Any) -> dict[str, str]:
    app = app_with(*parameters).app_spec
    return dict(materialize(app, resolve(store, app, given, lambda path: upload(store, path)), {}).parameters)


def test_an_app_serves_the_output_of_the_latest_run_that_succeeded(tmp_path: Path) -> None:
    env = app_with(
        Parameter(
            "model", RunOutput(type="file", task_name="training.train", getter=(1,)), mount=str(tmp_path / "model")
        ),
        Parameter("first", RunOutput(type="string", task_name="training.train", getter=(2, "words", 0))),
        Parameter("size", RunOutput(type="string", task_name="training.train")),
    )
    for words in ("an old model", "a model"):
        flyte.run(train, words=words, folder=str(tmp_path))
    found: dict[str, str] = {}

    @env.on_startup
    def load(model: str, first: str, size: str) -> None:
        found.update(text=Path(model).read_text(), path=model, first=first, size=size)

    with flyte.with_servecontext(mode="local").serve(env).ephemeral_ctx_sync():
        assert found == {"text": "a model", "path": str(tmp_path / "model"), "first": "a", "size": "7"}


def test_files_and_folders_of_the_deployer_are_stored_by_their_content(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.txt").write_text("a")
    (folder / "deep" / "b.log").write_text("b")
    found = values_of(
        *(
            store,
            Parameter("all", Dir(path=str(folder))),
            Parameter("some", Dir(path=str(folder)), ignore_patterns=["*.log"]),
        ),
        Parameter("one", File(path=str(folder / "a.txt"))),
        Parameter("text", str(folder / "a.txt"), type="file"),
        Parameter("uri", File(path=str(folder / "a.txt")), download=False),
    )
    assert [path.name for path in sorted(Path(found["all"]).rglob("*")) if path.is_file()] == ["a.txt", "b.log"]
    assert [path.name for path in Path(found["some"]).rglob("*") if path.is_file()] == ["a.txt"]
    assert Path(found["one"]).read_text() == Path(found["text"]).read_text() == "a"
    assert found["uri"].startswith(f"{store.uri}/app-data/")
    assert len({path.parent for path in Path(tmp_path, "root", "app-data").rglob("a.txt")}) == 2  # alone, and in all


def test_a_folder_of_a_run_is_fetched(store: Store, tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "leaf.txt").write_text("green")
    run = flyte.run(tree, folder=str(tmp_path / "tree"))
    found = values_of(store, Parameter("tree", RunOutput(type="directory", run_name=run.name)))
    assert Path(found["tree"], "leaf.txt").read_text() == "green"


def test_the_record_says_of_which_run_an_output_is_and_is_made_new_on_demand(store: Store, tmp_path: Path) -> None:
    flyte.run(train, words="first", folder=str(tmp_path))
    app = app_with(
        Parameter("model", RunOutput(type="string", task_name="training.train")), Parameter("text", "as it is")
    )
    resolved = resolve(store, app.app_spec, {}, str)
    record = AppRecord("serving", 0, "", "active", 0, "me", "/apps/serving", "asgi", {}, None, {}, {}, resolved)
    record = add_revision(store, record)
    newer = refresh_app(store, record)
    assert refresh_app(store, newer) == newer
    run = flyte.run(train, words="the second", folder=str(tmp_path))
    newest = refresh_app(store, newer)
    assert (newest.parameters["model"]["run"], newest.parameters["model"]["value"]) == (run.name, "10")
    assert newest.parameters["text"] == {"kind": "string", "value": "as it is"}
    assert newest.revision == newer.revision + 1
    assert dataclasses.replace(newest, state="deactivated").version == newest.version


def test_an_output_that_cannot_be_had_is_said_in_a_sentence(store: Store, tmp_path: Path) -> None:
    run = flyte.run(train, words="x", folder=str(tmp_path))
    with pytest.raises(Exception, match="no"):
        flyte.run(fail).outputs()
    failed = next(each for each in flyte.remote.Run.listall() if each.name != run.name)
    said = [
        (RunOutput(type="string", run_name="nobody"), "should hold a run 'nobody', but does not"),
        (
            RunOutput(type="string", task_name="training.nothing"),
            "a run of task 'training.nothing' should have succeeded",
        ),
        (RunOutput(type="string", task_name="training.fail"), "a run of task 'training.fail' should have succeeded"),
        (RunOutput(type="string", run_name=failed.name), "should have succeeded, but is failed"),
        (RunOutput(type="string", run_name=run.name, getter=(9,)), "should have 9 there, got"),
        (RunOutput(type="string", run_name=run.name, getter=(2, "wrods")), "should have 'wrods' there, got"),
        (RunOutput(type="file", run_name=run.name), r"output \(0,\) of run .* should be a file, got 1"),
        (RunOutput(type="string", task_name="training.train", task_version="v"), "Leave task_version out"),
    ]
    for output, sentence in said:
        with pytest.raises(ParameterMaterializationError, match=f"App 'serving', parameter 'model': .*{sentence}"):
            values_of(store, Parameter("model", output))
    with pytest.raises(ParameterMaterializationError, match="must be there, got '/no/such', which is not"):
        values_of(store, Parameter("model", File(path="/no/such")))
    with pytest.raises(ParameterMaterializationError, match="must be text, a File, a Dir, .* got int"):
        values_of(store, Parameter("model", 3))
    with pytest.raises(ParameterMaterializationError, match="App 'serving', parameter 'model': .*x.txt"):
        values_of(store, Parameter("model", f"{store.uri}/x.txt", type="file"))
