"""A scikit-learn model from a run's output behind an app: `serve/model.py`."""

from __future__ import annotations

import runpy
from collections.abc import Iterator
from pathlib import Path

import httpx
import joblib
import pytest
from sklearn.linear_model import LinearRegression

import flyte_ray as flyte
from flyte_ray.app.extras import ModelAppEnvironment
from flyte_ray.errors import DeploymentError
from flyte_ray.io import File
from tests.ray_cluster import free_port

TOP = Path(__file__).parents[1]
local = flyte.with_servecontext(mode="local", health_check_interval=0.05)
env = flyte.TaskEnvironment("training")


@env.task
def train(slope: float) -> File:
    model = LinearRegression().fit([[0.0, 1.0], [1.0, 0.0], [2.0, 5.0]], [0.0, slope, 2 * slope])
    file: File = File.new_remote("model.joblib")
    with file.open_sync("wb") as opened:
        joblib.dump(model, opened)
    return file


@pytest.fixture(autouse=True)
def root(tmp_path: Path) -> Iterator[None]:
    flyte.init(root=tmp_path / "root")
    yield
    flyte.init()


def predict(app: ModelAppEnvironment, rows: object) -> httpx.Response:
    return httpx.post(f"{app.endpoint}/predict", json={"rows": rows}, trust_env=False, timeout=60)


def test_the_ready_file_serves_the_newest_model() -> None:
    flyte.with_runcontext(mode="local").run(train, slope=3.0)
    ready: ModelAppEnvironment = runpy.run_path(str(TOP / "serve" / "model.py"))["env"]
    served = ready.clone_with("model", port=free_port())
    assert isinstance(served, ModelAppEnvironment) and served.type == "scikit-learn"
    with local.serve(served).ephemeral_ctx_sync():
        answer = predict(served, [[1.0, 0.0], [4.0, 2.0]])
        assert answer.status_code == 200, answer.text
        assert answer.json()["predictions"] == pytest.approx([3.0, 12.0])
        wrong = predict(served, [[1.0]])
        assert wrong.status_code == 400 and wrong.json()["detail"].startswith("The model cannot predict for these rows")
        assert predict(served, []).status_code == 422
        assert predict(served, "rows").status_code == 422


def test_a_model_that_was_trained_with_names_is_asked_with_them(tmp_path: Path) -> None:
    import pandas

    table = pandas.DataFrame({"a": [0.0, 1.0, 2.0], "b": [1.0, 0.0, 5.0]})
    joblib.dump(LinearRegression().fit(table, [0.0, 3.0, 6.0]), tmp_path / "named.joblib")
    served = ModelAppEnvironment("named", model=str(tmp_path / "named.joblib"), port=free_port())
    with local.serve(served).ephemeral_ctx_sync():
        assert predict(served, [{"b": 0, "a": 1}]).json()["predictions"] == pytest.approx([3.0])
        wrong = predict(served, [{"a": 1}])
        assert wrong.status_code == 400 and wrong.json()["detail"].endswith("they lack 'b'")


def test_a_file_that_holds_no_model_is_said(tmp_path: Path) -> None:
    joblib.dump({"no": "model"}, tmp_path / "none.joblib")
    served = ModelAppEnvironment("none", model=str(tmp_path / "none.joblib"), port=free_port())
    with pytest.raises(DeploymentError, match=r"scikit-learn model, got a dict, which has no predict\(\). Write it"):
        local.serve(served)
