"""Encode and decode a task's inputs and output.

Invariants: a wrong argument fails before anything is queued, naming task, parameter, expected and given; the digest of
equal inputs is equal in every process, except that a pickled value enters it as a fixed mark.
"""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from flyte_ray.errors import RuntimeDataValidationError
from flyte_ray.spec.interface import Interface
from flyte_ray.types.leaves import ARROW_MARK, PICKLE_MARK, CannotStoreError, build_leaf, load_untyped
from flyte_ray.types.place import Blobs
from flyte_ray.types.references import by_content, is_located, place_of

# One encoder for all: `json.dumps` with options makes a new one for each call.
_write = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
_write_sorted = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, sort_keys=True).encode
_PLAIN = frozenset({int, str, bool, float, type(None)})


@dataclass(frozen=True)
class Encoded:
    """A stored form: JSON text, and a digest of what it means."""

    text: str
    digest: str


def digest_of(raw: Any) -> str:
    """Digest stored forms: that of equal values is equal in every process."""

    def canonical(part: Any) -> Any:
        if isinstance(part, dict):
            if PICKLE_MARK in part:
                return PICKLE_MARK
            if ARROW_MARK in part:
                return part["sha256"]
            if is_located(part):
                return {**part, "path": by_content(part["path"])}
            return {key: canonical(value) for key, value in part.items()}
        return [canonical(value) for value in part] if isinstance(part, list) else part

    return hashlib.sha256(_write_sorted(canonical(raw)).encode()).hexdigest()[:32]


def _type_name(annotation: Any) -> str:
    return annotation.__name__ if isinstance(annotation, type) else str(annotation).replace("typing.", "")


class TaskCodec:
    """Stored forms of one task's values."""

    def __init__(self, interface: Interface, task: str) -> None:
        """Prepare all annotations once."""
        self._task = task
        self._inputs = {item.name: (build_leaf(item.annotation), item.annotation) for item in interface.parameters}
        self._returns = None if interface.returns is inspect.Signature.empty else interface.returns
        self._output = build_leaf(self._returns)

    def encode_inputs(self, values: Mapping[str, Any], blobs: Blobs) -> Encoded:
        """Check and encode the arguments by parameter name.

        Raises:
            TypeError: A value is not of its parameter's type, or cannot be stored.

        """
        raw = {}
        for name, value in values.items():
            leaf, annotation = self._inputs[name]
            try:
                raw[name] = leaf.dump(leaf.check(value), blobs)
            except CannotStoreError as error:
                raise TypeError(f"Task '{self._task}', parameter '{name}': {error}") from error
            except (TypeError, ValueError) as error:
                raise TypeError(
                    f"Task '{self._task}', parameter '{name}': expected {_type_name(annotation)}, got"
                    f" {type(value).__name__} {value!r:.80}. Pass a value of that type."
                ) from error
        text = _write(raw)
        if all(type(part) in _PLAIN for part in raw.values()):
            # Parameters are in the order of declaration: the text is canonical as it is.
            return Encoded(text, hashlib.sha256(text.encode()).hexdigest()[:32])
        return Encoded(text, digest_of(raw))

    def decode_inputs(self, text: str, blobs: Blobs) -> dict[str, Any]:
        """Rebuild the arguments."""
        return {name: _load(raw, blobs, self._inputs[name][0].load) for name, raw in json.loads(text).items()}

    def encode_output(self, value: Any, blobs: Blobs) -> str:
        """Check and encode what the task returned.

        Raises:
            RuntimeDataValidationError: The value is not of the declared return type, or cannot be stored.

        """
        try:
            return _write(self._output.dump(self._output.check(value), blobs))
        except CannotStoreError as error:
            raise RuntimeDataValidationError("o0", error, self._task) from error
        except (TypeError, ValueError) as error:
            given = f"{type(value).__name__} {value!r:.80}"
            if self._returns is None:
                message = f"Expected no outputs but got {given}. Annotate what the task returns."
            elif inspect.iscoroutine(value):
                value.close()  # the same need not be said again by Python's warning
                message = (
                    f"Expected {_type_name(self._returns)} but got the coroutine '{value.__qualname__}', which was not"
                    f" awaited. Write 'await' before the call; sync code calls sync tasks."
                )
            else:
                message = (
                    f"Expected {_type_name(self._returns)} but got {given}. Return a value of that type, or change the"
                    f" annotation."
                )
            raise RuntimeDataValidationError("o0", TypeError(message), self._task) from error

    def decode_output(self, text: str, blobs: Blobs) -> Any:
        """Rebuild what the task returned."""
        return _load(json.loads(text), blobs, self._output.load)


def decode_untyped(text: str, blobs: Blobs) -> Any:
    """Rebuild what a task returned whose annotations are not known here: see `load_untyped`."""
    return _load(json.loads(text), blobs, load_untyped)


def _load(raw: Any, blobs: Blobs, load: Callable[[Any, Blobs], Any]) -> Any:
    place, value = place_of(raw)
    return load(value, blobs.elsewhere(place) if place else blobs)


def build_codec(interface: Interface, task: str) -> TaskCodec:
    """Build the codec of a task; worth keeping, it compiles each annotation."""
    return TaskCodec(interface, task)
