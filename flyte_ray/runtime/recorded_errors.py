"""Find the class of a recorded failure: by its code, and by whose failure it is.

Source: Flyte 2's conversion of stored errors.
"""

from __future__ import annotations

from typing import Final

from flyte_ray import errors
from flyte_ray.errors import BaseRuntimeError, RuntimeUserError

_USER_ERRORS: Final[dict[str, type[RuntimeUserError]]] = {
    **{
        n: c for n, c in vars(errors).items() if isinstance(c, type) and issubclass(c, RuntimeUserError) and n[0] != "_"
    },
    "DataValidationError": errors.RuntimeDataValidationError,
    "RestrictedTypeUsage": errors.RestrictedTypeError,
    "QUEUED_TIMEOUT_EXCEEDED": errors.MaxQueuedTimeExceededError,
    "MAX_RUNTIME_EXCEEDED": errors.MaxRuntimeExceededError,
    "DEADLINE_EXCEEDED": errors.DeadlineExceededError,
    "Interrupted": errors.TaskInterruptedError,
    "RetriesExhausted": errors.RetriesExhaustedError,
    "ImagePullBackOff": errors.ImagePullBackOffError,
    "InvalidImageName": errors.InvalidImageNameError,
    "PrimaryContainerNotFound": errors.PrimaryContainerNotFoundError,
}
_SYSTEM_ERRORS: Final = {
    "StoreError": errors.StoreError,
    "StoreDamagedError": errors.StoreDamagedError,
    "RunFencedError": errors.RunFencedError,
}
GPU_FAULT_CODES: Final = (
    *("GpuXidError", "GpuFallenOffBus", "GpuEccUncorrectable"),
    *("GpuRowRemapPending", "GpuNvlinkError", "GpuGspError"),
)
"""Codes that a recorded failure carries when a GPU fault was found to be its cause."""


def _class_for(code: str, kind: errors.ErrorKind) -> type[BaseRuntimeError]:
    if kind == "user":
        if code in GPU_FAULT_CODES:
            return errors.GPUFaultUserError
        return errors.OOMError if "OOM" in code else _USER_ERRORS.get(code, RuntimeUserError)
    if kind == "system":
        return (
            errors.GPUFaultSystemError
            if code in GPU_FAULT_CODES
            else _SYSTEM_ERRORS.get(code, errors.RuntimeSystemError)
        )
    return errors.RuntimeUnknownError


def to_error(code: str, kind: str, message: str) -> BaseRuntimeError:
    """Build the error of a recorded failure.

    Args:
        code: Recorded code; unknown codes give the class of their kind.
        kind: `user`, `system`; anything else counts as `unknown`.
        message: Text of the error, without the code.

    Returns:
        An error of the most specific class known, with `code`, `kind` and `str(error) == message` as recorded.

    Source: Flyte 2's conversion of stored errors.

    """
    known: errors.ErrorKind = "user" if kind == "user" else "system" if kind == "system" else "unknown"
    cls = _class_for(code, known)
    # Not the class's own constructor: several compose their message, which here is already composed.
    error = cls.__new__(cls)
    BaseRuntimeError.__init__(error, code, known, message)
    if isinstance(error, errors.InvalidPackageError):
        error.package_name, error.original_error = "", message
    return error
