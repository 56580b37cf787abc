"""Secrets on a real cluster: given by message, and found nowhere, whatever a task does with them."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

import flyte_ray as flyte
from flyte_ray.errors import RuntimeUserError
from tests import secret_tasks

VALUE, CERT = 's3cr3t-Value/1+&"x', "abcdefgh12345678"
FORMS = [
    each.encode()
    for each in (VALUE, 's3cr3t-Value/1+&\\"x', "s3cr3t-Value", "s3cr3t%2DValue", CERT, "czNjcjN0LVZhbHVl")
]


def listed_by_ray(address: str) -> dict[str, bytes]:
    """All that `ray list actors`, `tasks`, `workers` and `jobs` read, without the dashboard that they ask for it."""
    import grpc  # type: ignore[import-untyped]
    from ray.core.generated import gcs_service_pb2 as asked
    from ray.core.generated import gcs_service_pb2_grpc as stubs

    with grpc.insecure_channel(address) as channel:
        found = {
            "actors": stubs.ActorInfoGcsServiceStub(channel).GetAllActorInfo(asked.GetAllActorInfoRequest()),
            "tasks": stubs.TaskInfoGcsServiceStub(channel).GetTaskEvents(asked.GetTaskEventsRequest()),
            "workers": stubs.WorkerInfoGcsServiceStub(channel).GetAllWorkerInfo(asked.GetAllWorkerInfoRequest()),
            "jobs": stubs.JobInfoGcsServiceStub(channel).GetAllJobInfo(asked.GetAllJobInfoRequest()),
        }
    return {what: answer.SerializeToString() for what, answer in found.items()}


def test_a_secret_that_a_task_lets_out_is_found_nowhere(connected: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEY", VALUE)
    monkeypatch.setenv("DB_CERT", f"-----BEGIN\n{CERT}\n-----END\n")
    run = flyte.with_runcontext(name="leaky").run(secret_tasks.all_ways, list(secret_tasks.WAYS))
    told = run.outputs()[0]
    assert told[:2] == [str(len(VALUE)), "('refused ***', {'key': '***'})"]
    assert all("must not hold a secret" in each for each in told[2:5])
    assert told[5:] == [str(len(VALUE)), "False False"], "processes with secrets serve no other environment"
    import ray

    session = Path(ray._private.worker._global_node.get_session_dir_path())
    deadline = time.monotonic() + 60
    while not any(b"printed ***" in path.read_bytes() for path in session.glob("logs/worker-*.out")):
        assert time.monotonic() < deadline, "what is printed goes through, masked"
        time.sleep(0.1)
    texts = [path for folder in (session, connected) for path in folder.rglob("*") if path.is_file()]
    shown = {str(path): path.read_bytes() for path in texts}
    shown |= listed_by_ray(ray.get_runtime_context().gcs_address)
    assert b"FLYTE_RAY_SECRETS" in shown["tasks"], "their names may show"
    assert not [(name, form) for name, data in shown.items() for form in FORMS if form in data]


def test_a_secret_that_nobody_brings_fails_its_action_with_a_sentence(connected: Path) -> None:
    lacking = flyte.TaskEnvironment(name="lacking", secrets="nobody-has-it")
    plain = flyte.TaskEnvironment(name="asking")

    @plain.task
    def call(name: str) -> str:
        return asked.override(secrets=flyte.Secret(name))()

    @lacking.task
    def asked() -> str:
        return "was asked"

    with pytest.raises(RuntimeUserError, match="asks for the secret 'late', which who started or continued the run"):
        flyte.run(call, "late").outputs()
