"""Encode and decode a task's inputs and output.

Invariants: a wrong argument fails before anything is queued, naming task, parameter, expected and given; the digest of
equal inputs is equal in every process, except that a pickled value enters it as a fixed mark.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flyte_ray.errors import InlineIOMaxBytesBreached, RuntimeDataValidationError
from flyte_ray.spec.interface import Interface
from flyte_ray.spec.task import DEFAULT_MAX_INLINE_IO_BYTES
from flyte_ray.types.annotations import build_form
from flyte_ray.types.digest import digest_of
from flyte_ray.types.form import CannotStoreError, Form, MismatchError, show
from flyte_ray.types.large import INLINE_BYTES, inline, outline, size_of
from flyte_ray.types.marks import PLAIN_TEXT, read, utf8, write
from flyte_ray.types.place import Blobs
from flyte_ray.types.references import place_of
from flyte_ray.types.weight import is_heavy

_PLAIN = frozenset({int, str, bool, float, type(None)})
_REFERS = '"bytes":'
"""Stands in whatever refers to bytes beside the log."""


@dataclass(frozen=True)
class Encoded:
    """A stored form: JSON text, and a digest of what it means."""

    text: str
    digest: str


class TaskCodec:
    """Stored forms of one task's values."""

    def __init__(self, interface: Interface, task: str, max_inline_bytes: int) -> None:
        """Prepare all annotations once."""
        self._task, self._max_inline_bytes = task, max_inline_bytes
        self._unseen_bytes = min(INLINE_BYTES, max_inline_bytes)
        self._inputs = {item.name: build_form(item.annotation) for item in interface.parameters}
        self._returns = None if interface.returns is inspect.Signature.empty else interface.returns
        self._output = build_form(self._returns)
        self.has_heavy_inputs = any(is_heavy(item.annotation) for item in interface.parameters)
        """To store or load the inputs takes time."""
        self.has_heavy_output = is_heavy(self._returns)
        """To store or load the output takes time."""

    def encode_inputs(self, values: Mapping[str, Any], blobs: Blobs) -> Encoded:
        """Check and encode the arguments by parameter name.

        Raises:
            TypeError: A value is not of its parameter's type, or cannot be stored.
            InlineIOMaxBytesBreached: Together they are larger than the task's `max_inline_io_bytes`.

        """
        text = self._write_plain(values)
        if text is not None:
            return Encoded(text, hashlib.sha256(utf8(text)).hexdigest()[:32])
        raw: dict[str, Any] = {}
        for name, value in values.items():
            form = self._inputs[name]
            if type(value) in form.plain:
                raw[name] = value
                continue
            try:
                form.check(value)
                raw[name] = form.dump(value, blobs)
            except CannotStoreError as error:
                raise TypeError(f"Task '{self._task}', parameter '{name}': {error}") from error
            except (MismatchError, RecursionError) as error:
                reason = _reason(form, value, error)
                message = f"Task '{self._task}', parameter '{name}': {reason}. Pass a value of that type."
                raise TypeError(message) from error
        text = self._write_inputs(raw)
        if len(text) > self._unseen_bytes or _REFERS in text:
            self._check_size("inputs", size_of(raw, text))
            raw = {name: outline(part, blobs) for name, part in raw.items()}
            text = write(raw)
        return encoded_of(raw, text)

    def _write_inputs(self, raw: dict[str, Any]) -> str:
        try:
            return write(raw)
        except ValueError:
            for name, part in raw.items():
                try:
                    _write(part)
                except CannotStoreError as error:
                    raise TypeError(f"Task '{self._task}', parameter '{name}': {error}") from error
            raise

    def _write_plain(self, values: Mapping[str, Any]) -> str | None:
        """Write arguments of which each is its own stored form and short; None where one is not."""
        parts = []
        for name, value in values.items():
            kind = type(value)
            if kind not in PLAIN_TEXT or kind not in self._inputs[name].plain:
                return None
            try:
                parts.append(f'"{name}":{PLAIN_TEXT[kind](value)}')
            except ValueError:  # see _write; there it is told with what it belongs to
                return None
        text = f"{{{','.join(parts)}}}"
        return None if len(text) > self._unseen_bytes or _REFERS in text else text

    def decode_inputs(self, text: str, blobs: Blobs) -> dict[str, Any]:
        """Rebuild the arguments."""
        return {name: _load(raw, blobs, self._inputs[name]) for name, raw in read(text)[0].items()}

    def encode_output(self, value: Any, blobs: Blobs) -> str:
        """Check and encode what the task returned.

        Raises:
            RuntimeDataValidationError: The value is not of the declared return type, or cannot be stored.
            InlineIOMaxBytesBreached: It is larger than the task's `max_inline_io_bytes`.

        """
        kind = type(value)
        try:
            raw = value
            if kind not in self._output.plain:
                self._output.check(value)
                raw = self._output.dump(value, blobs)
            text = _write(raw)
        except CannotStoreError as error:
            raise RuntimeDataValidationError("o0", error, self._task) from error
        except (MismatchError, RecursionError) as error:
            raise RuntimeDataValidationError("o0", TypeError(self._misfit(value, error)), self._task) from error
        if len(text) <= self._unseen_bytes and _REFERS not in text:
            return text
        self._check_size("outputs", size_of(raw, text))
        return write(outline(raw, blobs))

    def _check_size(self, what: str, size: int) -> None:
        if size > self._max_inline_bytes:
            raise InlineIOMaxBytesBreached(
                f"Task '{self._task}': its {what} may take {self._max_inline_bytes:,} bytes without files and tables,"
                f" got {size:,}. Pass them as a File, Dir or table, or raise max_inline_io_bytes."
            )

    def _misfit(self, value: Any, error: Exception) -> str:
        if self._returns is None:
            return f"Expected no outputs but got {show(value)}. Annotate what the task returns."
        if inspect.iscoroutine(value):
            value.close()  # the same need not be said again by Python's warning
            return (
                f"Expected {self._output.name} but got the coroutine '{value.__qualname__}', which was not"
                f" awaited. Write 'await' before the call; sync code calls sync tasks."
            )
        reason = _reason(self._output, value, error).removeprefix("expected").replace(", got", " but got", 1)
        return f"Expected{reason}. Return a value of that type, or change the annotation."

    def decode_output(self, text: str, blobs: Blobs) -> Any:
        """Rebuild what the task returned."""
        return _load(read(text)[0], blobs, self._output)


def encoded_of(raw: Mapping[str, Any], text: str | None = None) -> Encoded:
    """Return inputs that are in their stored form already, by parameter in the order of declaration.

    Args:
        raw: They.
        text: Their text, where that is known.

    """
    text = write(raw) if text is None else text
    if all(type(part) in _PLAIN for part in raw.values()):
        # Parameters are in the order of declaration: the text is canonical as it is.
        return Encoded(text, hashlib.sha256(utf8(text)).hexdigest()[:32])
    return Encoded(text, digest_of(raw))


def decode_untyped(text: str, blobs: Blobs) -> Any:
    """Rebuild what a task returned whose annotations are not known here.

    What says itself what it is comes back as that, such as a table, all else as plain JSON.
    """
    return _load(json.loads(text), blobs, build_form(Any))


def _write(raw: Any) -> str:
    kind = type(raw)
    try:
        return PLAIN_TEXT[kind](raw) if kind in PLAIN_TEXT else write(raw)
    except ValueError as error:
        raise CannotStoreError(
            f"whole numbers are stored with at most {sys.get_int_max_str_digits():,} digits, got one that has more."
            f" Pass its bytes, as int.to_bytes gives them."
        ) from error


def _reason(form: Form, value: Any, error: Exception) -> str:
    whole = f"expected {form.name}, got {show(value)}"
    if isinstance(error, RecursionError):
        return f"{whole}, which holds itself or is nested too deep"
    return f"{whole}; {error}" if isinstance(error, MismatchError) and error.where else whole


def _load(raw: Any, blobs: Blobs, form: Form) -> Any:
    if form.verbatim and type(raw) is not dict:
        return raw
    place, value = place_of(raw)
    there = blobs.elsewhere(place) if place else blobs
    return form.load(inline(value, there), there)


def build_codec(interface: Interface, task: str, max_inline_bytes: int = DEFAULT_MAX_INLINE_IO_BYTES) -> TaskCodec:
    """Build the codec of a task; worth keeping, it compiles each annotation."""
    return TaskCodec(interface, task, max_inline_bytes)
