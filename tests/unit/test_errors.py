"""The error tree: pickling, codes, and the way back from a recorded failure."""

from __future__ import annotations

import inspect
import pickle

import pytest

from flyte_ray import errors
from flyte_ray.runtime.recorded_errors import to_error

FAULT = {"fault_kind": "xid", "fault_code": 79, "node": "n1", "gpu_index": 0}


def _example(cls: type[BaseException]) -> BaseException:
    """An instance with every field set."""
    if cls is errors.ObjectMissing:
        return cls("s3://bucket/key")
    if not issubclass(cls, errors.BaseRuntimeError):
        return cls("the message")
    required = [
        entry.name
        for entry in inspect.signature(cls).parameters.values()
        if entry.default is entry.empty and entry.kind is entry.POSITIONAL_OR_KEYWORD
    ]
    error = cls(*("user" if name == "kind" else f"the {name}" for name in required))  # type: ignore[arg-type]
    error.worker = "slot-1"
    return error


PUBLIC = [
    value
    for name, value in vars(errors).items()
    if isinstance(value, type) and issubclass(value, BaseException) and not name.startswith("_")
]


@pytest.mark.parametrize("cls", PUBLIC, ids=lambda cls: cls.__name__)
def test_every_error_pickles_with_all_its_fields(cls: type[BaseException]) -> None:
    error = _example(cls)
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is cls
    assert (str(copy), copy.args, vars(copy)) == (str(error), error.args, vars(error))


def test_a_gpu_fault_pickles_with_its_report() -> None:
    error = errors.GPUFaultSystemError("GpuFallenOffBus", "gone", "slot-1", **FAULT)
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.kind, copy.xid, copy.sxid, copy.node, copy.severity) == ("system", 79, None, "n1", None)
    assert isinstance(copy, errors.RuntimeSystemError)


def test_an_unknown_field_of_a_gpu_fault_is_refused() -> None:
    with pytest.raises(TypeError, match="'colour'"):
        errors.GPUFaultUserError("GpuXidError", "m", colour="red")


@pytest.mark.parametrize(
    ("code", "kind", "cls"),
    [
        ("ValueError", "user", errors.RuntimeUserError),
        ("OOMKilled", "user", errors.OOMError),
        ("QUEUED_TIMEOUT_EXCEEDED", "user", errors.MaxQueuedTimeExceededError),
        ("MAX_RUNTIME_EXCEEDED", "user", errors.MaxRuntimeExceededError),
        ("DEADLINE_EXCEEDED", "user", errors.DeadlineExceededError),
        ("MaxRuntimeExceededError", "user", errors.MaxRuntimeExceededError),
        ("Interrupted", "user", errors.TaskInterruptedError),
        ("RetriesExhausted", "user", errors.RetriesExhaustedError),
        ("ImagePullBackOff", "user", errors.ImagePullBackOffError),
        ("DataValidationError", "user", errors.RuntimeDataValidationError),
        ("InvalidPackageError", "user", errors.InvalidPackageError),
        ("ActionAbortedError", "user", errors.ActionAbortedError),
        ("GpuXidError", "user", errors.GPUFaultUserError),
        ("GpuXidError", "system", errors.GPUFaultSystemError),
        ("StoreError", "system", errors.StoreError),
        ("StoreError", "user", errors.RuntimeUserError),
        ("NodeDied", "system", errors.RuntimeSystemError),
        ("x", "unknown", errors.RuntimeUnknownError),
        ("x", "nonsense", errors.RuntimeUnknownError),
    ],
)
def test_a_recorded_failure_becomes_its_class(code: str, kind: str, cls: type[errors.BaseRuntimeError]) -> None:
    error = to_error(code, kind, "it broke")
    assert type(error) is cls
    assert (error.code, str(error), error.worker) == (code, "it broke", None)
    assert error.kind == (kind if kind in ("user", "system") else "unknown")
    assert str(pickle.loads(pickle.dumps(error))) == "it broke"


def test_an_error_in_a_sum_shows_itself() -> None:
    with pytest.raises(errors.OOMError, match="too big"):
        sum([1, errors.OOMError("OOM", "too big")])  # type: ignore[list-item]


def test_codes_are_class_names_for_errors_made_from_a_message() -> None:
    assert errors.DeadlineExceededError("late").code == "DeadlineExceededError"
    assert errors.ActionAbortedError("stop").code == "ActionAbortedError"
    assert errors.NonRecoverableError("no", code="Fatal").code == "Fatal"
    assert errors.RuntimeDataValidationError("o0", "expected int", "env.f").code == "DataValidationError"


def test_a_custom_error_keeps_its_cause() -> None:
    cause = ValueError("boom")
    error = errors.CustomError.from_exception(cause)
    assert (error.code, str(error), error.kind, error.__cause__) == ("ValueError", "boom", "user", cause)


def test_only_the_system_branch_may_be_retried_unasked() -> None:
    assert errors.StoreError("away").kind == "system"
    assert not issubclass(errors.ObjectMissing, errors.RuntimeSystemError)
    assert not issubclass(errors.InvalidDeclaration, errors.BaseRuntimeError)


def test_a_missing_object_names_its_uri() -> None:
    error = errors.ObjectMissing("file:///there/k")
    assert isinstance(error, FileNotFoundError)
    assert error.uri == "file:///there/k"
    assert "file:///there/k" in str(error)


def test_a_wrong_declaration_is_a_value_error() -> None:
    assert issubclass(errors.InvalidDeclaration, ValueError)
    assert issubclass(errors.UnsupportedError, NotImplementedError)
