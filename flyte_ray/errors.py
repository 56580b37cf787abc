"""The error tree: what failed, whose fault it is, and which class the caller may catch.

    BaseRuntimeError (RuntimeError)     an action failed; has `code`, `kind`, `worker`
    |- RuntimeUserError                 the user's code or limits; retried only within the user's retries
    |- RuntimeSystemError               the surroundings; the only branch that is retried unasked
    |- RuntimeUnknownError
    DeclarationError                    what was declared cannot be meant
    |- InvalidDeclaration (ValueError)
    |- UnsupportedError (NotImplementedError)
    ObjectMissing (FileNotFoundError)   nothing is stored at `uri`

Invariant: every class survives pickling with all its fields, whatever its constructor takes.
Names and constructors follow Flyte 2 (`flyte.errors`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NoReturn, TypeVar

ErrorKind = Literal["user", "system", "unknown"]
_E = TypeVar("_E", bound="BaseRuntimeError")


def _rebuild(cls: type[_E], args: tuple[Any, ...], fields: Mapping[str, Any]) -> _E:
    error = cls.__new__(cls)
    error.args = args
    error.__dict__.update(fields)
    return error


class BaseRuntimeError(RuntimeError):
    """An action failed; the subclass and `code` say how.

    Used in arithmetic the error raises itself, so that `sum(results)` over the results of `map` shows the failure
    of an element and not a `TypeError`.

    Source: `flyte.errors.BaseRuntimeError`.
    """

    code: str
    """Short name of the failure: a code of the system, or the class name of the user's exception."""
    kind: ErrorKind
    """Whose failure it is; only `system` is retried unasked."""
    worker: str | None
    """Where it happened, if known."""

    def __init__(self, code: str, kind: ErrorKind, root_cause_message: str, worker: str | None = None) -> None:
        super().__init__(root_cause_message)
        self.code = code
        self.kind = kind
        self.worker = worker

    def __reduce__(self) -> tuple[Any, ...]:
        # Subclasses take other arguments than `args` holds, so the default (calling the class) would fail.
        return _rebuild, (type(self), self.args, dict(self.__dict__))

    def _raise_itself(self, *_: object) -> NoReturn:
        raise self

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = _raise_itself
    __truediv__ = __rtruediv__ = __floordiv__ = __rfloordiv__ = _raise_itself


class InitializationError(BaseRuntimeError):
    """Something that needs `init` was used before it."""


class LogsNotYetAvailableError(BaseRuntimeError):
    """The attempt has not written any log yet; asking again may succeed."""

    def __init__(self, message: str) -> None:
        super().__init__("LogsNotYetAvailable", "system", message)


class RuntimeUserError(BaseRuntimeError):
    """The user's code failed, or ran into a limit that the user set. `code` is the class name of the exception."""

    def __init__(self, code: str, message: str, worker: str | None = None) -> None:
        super().__init__(code, "user", message, worker)


class RuntimeSystemError(BaseRuntimeError):
    """The surroundings failed (store, node, slot); the user's code is not to blame."""

    def __init__(self, code: str, message: str, worker: str | None = None) -> None:
        super().__init__(code, "system", message, worker)


class RuntimeUnknownError(BaseRuntimeError):
    """A failure that was recorded without saying whose it is."""

    def __init__(self, code: str, message: str, worker: str | None = None) -> None:
        super().__init__(code, "unknown", message, worker)


class UnionRpcError(RuntimeSystemError):
    """A control plane did not answer. Kept for code that catches it; flyte-ray has no control plane."""


class _NamedUserError(RuntimeUserError):
    """A user error whose code is its class name, so that it is made from a message alone."""

    def __init__(self, message: str) -> None:
        super().__init__(type(self).__name__, message)


class OOMError(RuntimeUserError):
    """Ray's memory monitor or our watchdog ended the attempt because of its memory."""


class TaskInterruptedError(RuntimeUserError):
    """The machine was taken away (preemption) while the attempt ran."""


class TaskTimeoutError(RuntimeUserError):
    """A bound of `Timeout` was exceeded; the subclass says which."""

    def __init__(self, message: str, code: str | None = None) -> None:
        super().__init__(code or type(self).__name__, message)


class MaxQueuedTimeExceededError(TaskTimeoutError):
    """The attempt waited longer than `Timeout.max_queued_time` before it started."""


class MaxRuntimeExceededError(TaskTimeoutError):
    """The attempt ran longer than `Timeout.max_runtime`."""


class DeadlineExceededError(TaskTimeoutError):
    """The action did not finish within `Timeout.deadline`, counted over all its attempts."""


class RetriesExhaustedError(RuntimeUserError):
    """The action failed in its last attempt."""


class InlineIOMaxBytesBreached(_NamedUserError):
    """Inputs or outputs of one action exceed `max_inline_io_bytes`."""


class SlowDownError(_NamedUserError):
    """The caller asks faster than is served; waiting and asking again may succeed."""


class ResourceExhaustedError(SlowDownError):
    """A quota is used up."""


class NonRecoverableError(RuntimeUserError):
    """Raise it in a task to fail the action without using its retries."""

    def __init__(self, message: str, code: str = "NonRecoverableError") -> None:
        super().__init__(code, message)


class NondeterminismError(NonRecoverableError):
    """With `strict_replay`: an action that ran again called something else than is on record; the message has both."""

    def __init__(self, message: str) -> None:
        super().__init__(message, type(self).__name__)


class PickleRefusedError(NonRecoverableError):
    """A recorded pickle is not loaded: pickles are turned off, or it is not signed with the key that counts here."""

    def __init__(self, message: str) -> None:
        super().__init__(message, type(self).__name__)


class CustomError(RuntimeUserError):
    """A user's exception in Flyte's form: `code` is its class name."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)

    @classmethod
    def from_exception(cls, e: BaseException) -> CustomError:
        """Wrap `e`; it stays reachable as `__cause__`."""
        error = cls(type(e).__name__, str(e))
        error.__cause__ = e
        return error


class ActionAbortedError(_NamedUserError):
    """The action was aborted from outside; raised in its parent."""


class ConditionTimedoutError(_NamedUserError):
    """Nobody signalled the condition within its timeout."""


class ConditionAlreadyExistsError(_NamedUserError):
    """The action has made a condition of that name already."""


class ConditionFailedError(_NamedUserError):
    """The condition ended without a value."""


class ConditionNotFoundError(_NamedUserError):
    """The run has no condition of that name."""


class RuntimeDataValidationError(RuntimeUserError):
    """A value does not have the declared type; the message names task and variable (`o0` is the first output)."""

    def __init__(self, var: str, e: Exception | str, task_name: str = "") -> None:
        super().__init__("DataValidationError", f"task '{task_name}', variable '{var}': {e}")


class RestrictedTypeError(RuntimeUserError):
    """The type may not be used here."""

    def __init__(self, message: str) -> None:
        super().__init__("RestrictedTypeUsage", message)


class TraceDoesNotAllowNestedTasksError(_NamedUserError):
    """A task was called inside a traced function."""


class SyncTaskCallInAsyncContextError(_NamedUserError):
    """A sync task was called on the event loop; `.aio` is the form that can be awaited."""


class OnlyAsyncIOSupportedError(_NamedUserError):
    """The call has only an async form here."""


class NotInTaskContextError(RuntimeUserError):
    """What was asked for exists only inside a running task."""


class RemoteTaskNotFoundError(_NamedUserError):
    """No deployed task has that name and version."""


class RemoteTaskUsageError(_NamedUserError):
    """A deployed task was used in a way that needs its code."""


class RunNotFoundError(_NamedUserError):
    """The store holds no run of that name."""


class RunAlreadyExistsError(_NamedUserError):
    """The store holds a run of that name already."""


class ActionNotFoundError(RuntimeError):
    """The run has no action of that name."""


class ParameterMaterializationError(_NamedUserError):
    """The value of an app's parameter could not be obtained."""


class DeploymentError(_NamedUserError):
    """What a deployment presupposes is not given."""


class ImageBuildError(_NamedUserError):
    """The image or its packages could not be prepared."""


class InvalidImageNameError(RuntimeUserError):
    """The image's name is not a valid reference."""


class ImagePullBackOffError(RuntimeUserError):
    """The image could not be pulled."""


class InvalidPackageError(RuntimeUserError):
    """A package that the image asks for does not exist."""

    package_name: str
    original_error: str
    """What the installer said."""

    def __init__(self, package_name: str, original_error: str) -> None:
        message = f"Expected a package that can be installed, got '{package_name}': {original_error}. Check its name."
        super().__init__("InvalidPackageError", message)
        self.package_name, self.original_error = package_name, original_error


class PrimaryContainerNotFoundError(RuntimeUserError):
    """Kept for code that catches it; flyte-ray has no pods."""


class ModuleLoadError(_NamedUserError):
    """The user's module does not exist or does not import."""


class CodeBundleError(_NamedUserError):
    """The code bundle could not be built or fetched."""


class AppleSiliconError(RuntimeUserError):
    """An Apple-silicon device was asked for and cannot be had."""


class GPUFaultError(BaseRuntimeError):
    """A GPU or its switch reported a fault. Every field of the fault may be `None`: not all reports carry them."""

    fault_kind: str | None = None
    """`xid` for the GPU itself, `sxid` for its switch."""
    fault_code: int | None = None
    fault_name: str | None = None
    severity: str | None = None
    gpu_uuid: str | None = None
    gpu_index: int | None = None
    node: str | None = None
    pci_bus_id: str | None = None
    process: str | None = None

    def __init__(self, code: str, kind: ErrorKind, message: str, worker: str | None = None, **fault: Any) -> None:
        # Not super(): the mixed-in branches fix `kind` themselves and take one argument fewer.
        BaseRuntimeError.__init__(self, code, kind, message, worker)
        for name, value in fault.items():
            if name not in GPUFaultError.__annotations__:
                raise TypeError(f"{type(self).__name__} got an unexpected keyword argument {name!r}")
            setattr(self, name, value)

    @property
    def xid(self) -> int | None:
        """Number of the GPU fault; `None` for a fault of the switch."""
        return self.fault_code if self.fault_kind == "xid" else None

    @property
    def sxid(self) -> int | None:
        """Number of the switch fault; `None` for a fault of the GPU."""
        return self.fault_code if self.fault_kind == "sxid" else None


class GPUFaultUserError(GPUFaultError, RuntimeUserError):
    """A GPU fault that the action's own code caused, such as an access out of bounds."""

    def __init__(self, code: str, message: str, worker: str | None = None, **fault: Any) -> None:
        GPUFaultError.__init__(self, code, "user", message, worker, **fault)


class GPUFaultSystemError(GPUFaultError, RuntimeSystemError):
    """A GPU fault of the hardware."""

    def __init__(self, code: str, message: str, worker: str | None = None, **fault: Any) -> None:
        GPUFaultError.__init__(self, code, "system", message, worker, **fault)


class _NamedSystemError(RuntimeSystemError):
    """A system error whose code is its class name, so that it is made from a message alone."""

    def __init__(self, message: str) -> None:
        super().__init__(type(self).__name__, message)


class StoreError(_NamedSystemError):
    """The store did not answer, or refused; asking again may succeed, unless it is a `StoreDamagedError`."""


class StoreDamagedError(StoreError):
    """The store holds something damaged: asking again does not help."""


class RunFencedError(_NamedSystemError):
    """Another writer has taken the run over; this one must stop and release nothing."""


class ClusterError(_NamedSystemError):
    """The Ray cluster cannot be reached, or is not one that this process can work with."""


class ObjectMissing(FileNotFoundError):
    """Nothing is stored at `uri`."""

    uri: str
    """Where the object was looked for."""

    def __init__(self, uri: str, message: str | None = None) -> None:
        super().__init__(
            message or f"Expected a stored object at {uri}, found none. Check the root and the run's name."
        )
        self.uri = uri

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.uri, str(self))


class DeclarationError(Exception):
    """What the user declared cannot be carried out; nothing was started."""


class InvalidDeclaration(DeclarationError, ValueError):
    """A declared value is wrong; the message says what was expected, what came and what to write."""


class UnsupportedError(DeclarationError, NotImplementedError):
    """Flyte has it, flyte-ray does not; the message says what to use in its place."""
