"""Run a function as a recorded step of an action: what `flyte.trace` and `flyte.durable` are made of.

Invariants: a step that is on record with a result is not executed; a step never waits for the record, whose order has
it before whatever its action does afterwards. A step's inputs are recorded for people and for its key: never read back.
"""

from __future__ import annotations

import functools
import inspect
import json
import time
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from flyte_ray.errors import BaseRuntimeError, NonRecoverableError
from flyte_ray.ledger.messages import Step
from flyte_ray.runtime.context import ActionContext, current_action, current_group, current_step
from flyte_ray.runtime.failures import describe, rebuild
from flyte_ray.runtime.naming import body_identity, step_key
from flyte_ray.runtime.redaction import redact_json, refuse
from flyte_ray.runtime.unstored import unstored
from flyte_ray.types import Blobs
from flyte_ray.types.annotations import build_form
from flyte_ray.types.digest import digest_of
from flyte_ray.types.form import CannotStoreError, Form
from flyte_ray.types.large import inline, outline
from flyte_ray.types.marks import OTHER_MARK, PICKLE_MARK, write, write_sorted

_ANY: Final = build_form(Any)
_STREAMS: Final = frozenset({"Generator", "AsyncGenerator", "Iterator", "AsyncIterator", "Iterable", "AsyncIterable"})


class Traced:
    """A function whose calls inside an action are steps; all that is the same for each call, made at the first."""

    def __init__(self, func: Callable[..., Any], name: str | None = None) -> None:
        """Describe a function; one of ours is identified by a `name` alone, so that its code may change."""
        self.func = func
        self.name = name or func.__qualname__
        self._by_name = name is not None

    @functools.cached_property
    def identity(self) -> str:
        """What a step's key says of the function."""
        return self.name if self._by_name else f"{self.name} {body_identity(self.func)}"

    @functools.cached_property
    def _signature(self) -> inspect.Signature:
        return inspect.signature(self.func)

    @functools.cached_property
    def _hints(self) -> dict[str, Any]:
        try:
            return typing.get_type_hints(self.func, include_extras=True)
        except Exception:  # an annotation as text may be anything, and name what only its declaration sees
            return {}

    @functools.cached_property
    def _inputs(self) -> dict[str, Form]:
        named = (
            item
            for item in self._signature.parameters.values()
            if item.kind not in (item.VAR_POSITIONAL, item.VAR_KEYWORD)
        )
        return {
            item.name: build_form(self._hints[item.name])
            for item in named
            if self._hints.get(item.name, Any) is not Any
        }

    @functools.cached_property
    def _output(self) -> Form:
        returns = self._hints.get("return", Any)
        if inspect.isgeneratorfunction(self.func) or inspect.isasyncgenfunction(self.func):
            of_items = getattr(typing.get_origin(returns), "__name__", "") in _STREAMS
            returns = typing.get_args(returns)[0] if of_items else Any
        return build_form(returns)

    def write_inputs(self, args: Sequence[Any], kwargs: Mapping[str, Any], blobs: Blobs) -> tuple[str, str]:
        """Return the arguments as JSON, and a digest of them.

        Raises:
            TypeError: The function does not take these arguments.

        """
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        named = unstored(blobs)
        raw = {name: self._dump_input(name, value, named) for name, value in bound.arguments.items()}
        raw = {name: outline(part, named) for name, part in raw.items()}
        return write(redact_json(raw)), digest_of(raw)

    def _dump_input(self, name: str, value: Any, blobs: Blobs) -> Any:
        form = self._inputs.get(name)
        if form is not None:
            try:
                form.check(value)
                raw = form.dump(value, blobs)
                if not (isinstance(raw, dict) and PICKLE_MARK in raw):
                    return raw
            except (TypeError, ValueError):
                pass  # it is the function that decides what it takes
        try:
            write_sorted(value)
        except (TypeError, ValueError, RecursionError):
            # A client, a model, `self`: no text tells two of them apart in every process.
            return {"$type": f"{type(value).__module__}.{type(value).__qualname__}"}
        return value

    def dump(self, value: Any, blobs: Blobs) -> Any:
        """Turn an output, or an item of a generator, into what `json` writes; a large one lies beside the log.

        Raises:
            TypeError: It cannot be stored.

        """
        try:
            try:
                self._output.check(value)
                return outline(self._output.dump(value, blobs), blobs)
            except CannotStoreError:
                raise
            except (TypeError, ValueError):
                return {OTHER_MARK: outline(_ANY.dump(value, blobs), blobs)}
        except CannotStoreError as error:
            raise TypeError(f"What the traced function '{self.name}' gives must be recorded: {error}") from error

    def load(self, raw: Any, blobs: Blobs) -> Any:
        """Rebuild what `dump` was given."""
        if isinstance(raw, dict) and OTHER_MARK in raw:
            return _ANY.load(inline(raw[OTHER_MARK], blobs), blobs)
        return self._output.load(inline(raw, blobs), blobs)


class OpenStep:
    """One call of a traced function inside an action."""

    def __init__(self, traced: Traced, action: ActionContext, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """Name the step and look whether it is on record."""
        self.name = traced.name
        self.key: str
        self._traced, self._action, self._blobs = traced, action, action.controller.blobs
        self._outer = current_step.get()
        self._group = current_group.get()
        refuse(self._group, "the name of a group")
        self._inputs, digest = traced.write_inputs(args, kwargs, self._blobs)
        execution = action.execution
        key = step_key(traced.identity, digest, self._group, self._outer.key if self._outer else "")
        with execution.counting:
            number = execution.steps[key] = execution.steps.get(key, 0) + 1
            self.key = f"{key}.{number}"
        self._raws: list[Any] = []
        found = execution.recorded.get(self.key)
        record = json.loads(found) if found is not None else None
        self._record: dict[str, Any] | None = None if record is None or record.get("retry") else record
        self._started_us = time.time_ns() // 1000

    @property
    def is_recorded(self) -> bool:
        """Whether the step has ended for good in an earlier attempt, so that it is not to be executed."""
        return self._record is not None

    def recorded_items(self) -> Iterator[Any]:
        """Rebuild what a recorded generator gave."""
        assert self._record is not None
        for raw in inline(self._record.get("items", []), self._blobs):
            yield self._traced.load(raw, self._blobs)

    def outcome(self) -> Any:
        """Return what a recorded step returned, for a generator the value of its end.

        Raises:
            NonRecoverableError: It raised that.

        """
        assert self._record is not None
        if "error" in self._record:
            raise _non_recoverable(rebuild(json.dumps(self._record["error"]), self._blobs.pickling))
        if "items" in self._record:
            return _ANY.load(self._record["output"], self._blobs)
        return self._traced.load(self._record["output"], self._blobs)

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Run the function, or a generator's way to its next item."""
        before = current_step.get()
        current_step.set(self)
        try:
            yield
        finally:
            # Not by a token: a generator may be closed in another context than it ran in.
            current_step.set(before)

    def add(self, item: Any) -> None:
        """Keep an item that a generator gave until its end."""
        self._raws.append(self._traced.dump(item, self._blobs))

    def end(self, output: Any) -> None:
        """Record what the function returned."""
        self._post(f'"output":{self._written(self._traced.dump(output, self._blobs))}')

    def end_items(self, returned: Any) -> None:
        """Record what a generator gave and returned."""
        items = self._written(outline(self._raws, self._blobs))
        self._post(f'"items":{items},"output":{self._written(_ANY.dump(returned, self._blobs))}')

    def fail(self, error: Exception) -> None:
        """Record what the function raised."""
        items = f'"items":{self._written(outline(self._raws, self._blobs))},' if self._raws else ""
        retry = "false" if isinstance(error, NonRecoverableError) else "true"
        self._post(f'{items}"error":{describe(error, self._blobs.pickling)},"retry":{retry}')

    def _written(self, raw: Any) -> str:
        text = write(raw)
        refuse(text, f"what the traced function {self.name} gives")
        return text

    def _post(self, outcome: str) -> None:
        times = f'"started_us":{self._started_us},"ended_us":{time.time_ns() // 1000}'
        body = f'{{"inputs":{self._inputs},{times},{outcome}}}'
        work = self._action.execution.work
        self._action.controller.record(Step(work.action, work.attempt, self.key, self.name, self._group, body))


def open_step(traced: Traced, args: Sequence[Any], kwargs: Mapping[str, Any]) -> OpenStep | None:
    """Begin a call of a traced function; None outside a task."""
    action = current_action.get()
    return OpenStep(traced, action, args, kwargs) if action is not None else None


def _non_recoverable(error: BaseRuntimeError) -> NonRecoverableError:
    # The code may be the user's own, of which the class cannot be told.
    return error if isinstance(error, NonRecoverableError) else NonRecoverableError(str(error), error.code)
