"""Store one value of one annotation: as JSON, as an Arrow table, or as a pickle, in this order of preference.

Invariants: no library is imported that the user's annotation does not name already.
"""

from __future__ import annotations

import base64
import hashlib
import inspect
import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from flyte_ray.types.place import Blobs, placed

PICKLE_MARK: Final = "$pickle"
ARROW_MARK: Final = "$arrow"
_PLAIN: Final = (int, str, bool, float, type(None))
_announced: set[type] = set()


class CannotStoreError(TypeError):
    """A value has no stored form, whatever its annotation; its text says what to do."""


@dataclass(frozen=True)
class Leaf:
    """How values of one annotation are stored."""

    check: Callable[[Any], Any]
    """Returns the value as the annotation wants it; raises TypeError or ValueError with the reason."""
    dump: Callable[[Any, Blobs], Any]
    """To something that `json` writes."""
    load: Callable[[Any, Blobs], Any]


def build_leaf(annotation: Any) -> Leaf:
    """Choose how values of an annotation are stored."""
    if annotation in (int, str, bool, type(None), None):
        return _scalar(type(None) if annotation is None else annotation)
    module = getattr(annotation, "__module__", "").split(".")[0]
    if module == "pyarrow" and getattr(annotation, "__name__", "") == "Table":
        return Leaf(_instance_check(annotation), _dump_table, _load_table)
    leaf = _json(annotation)
    return leaf if leaf is not None else _pickle(annotation)


def _scalar(wanted: type) -> Leaf:
    def check(value: Any) -> Any:
        if type(value) is not wanted:
            raise TypeError
        return value

    return Leaf(check, lambda value, _: value, lambda value, _: value)


def _instance_check(wanted: Any) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        # From Python 3.11 on `Any` is a class, and refuses to be asked for instances.
        if wanted is not Any and isinstance(wanted, type) and not isinstance(value, wanted):
            raise TypeError
        return value

    return check


def _json(annotation: Any) -> Leaf | None:
    if annotation is Any or annotation is object:
        return None
    from pydantic import (  # a tenth of a second; plain scalars do without it
        ConfigDict,
        PydanticSchemaGenerationError,
        PydanticUndefinedAnnotation,
        PydanticUserError,
        TypeAdapter,
    )

    adapter: TypeAdapter[Any]
    try:
        try:
            adapter = TypeAdapter(annotation, config=ConfigDict(ser_json_bytes="base64", val_json_bytes="base64"))
        except PydanticUserError:  # a model brings its own configuration and takes no other
            adapter = TypeAdapter(annotation)
        adapter.json_schema()
    except (PydanticSchemaGenerationError, PydanticUndefinedAnnotation):
        return None
    except Exception:  # a schema that has no JSON form: pydantic raises several unrelated classes for it
        return None

    def dump(value: Any, blobs: Blobs) -> Any:
        with placed(blobs):
            raw = adapter.dump_python(value, mode="json")
        # Its order differs between processes, and a call is named by its stored form.
        return sorted(raw, key=json.dumps) if isinstance(value, (set, frozenset)) else raw

    def load(raw: Any, blobs: Blobs) -> Any:
        with placed(blobs):
            return adapter.validate_json(json.dumps(raw))

    def check(value: Any) -> Any:
        return adapter.validate_python(value, strict=True)

    # As JSON, not as Python values: only so are bytes read back from base64.
    return Leaf(check, dump, load)


def _dump_table(table: Any, blobs: Blobs) -> Any:
    import pyarrow as pa  # the user's annotation named it

    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    data = sink.getvalue().to_pybytes()
    return {ARROW_MARK: blobs.put(data, ".arrow"), "rows": table.num_rows, "sha256": hashlib.sha256(data).hexdigest()}


def _load_table(raw: Any, blobs: Blobs) -> Any:
    import pyarrow as pa  # the user's annotation named it

    return pa.ipc.open_file(pa.BufferReader(blobs.get(raw[ARROW_MARK]))).read_all()


def _pickle(annotation: Any) -> Leaf:
    def dump(value: Any, blobs: Blobs) -> Any:
        import cloudpickle  # only where nothing better fits

        if type(value) in _PLAIN:
            return value
        if inspect.iscoroutine(value):
            value.close()  # what is said here need not be said again by Python's warning
            raise CannotStoreError(
                f"values must be storable, got the coroutine '{value.__qualname__}', which was not awaited. Write"
                f" 'await' before the call; sync code calls sync tasks."
            )
        if type(value) not in _announced:
            _announced.add(type(value))
            warnings.warn(f"Values of type {type(value).__qualname__} have no typed form: pickled.", stacklevel=2)
        try:
            data = cloudpickle.dumps(value)
        except Exception as error:  # what a class does on being pickled may fail in any way
            raise CannotStoreError(
                f"values must be storable, got {type(value).__name__} {value!r:.80}, which is not: {error}. Pass"
                f" what it is made from, and make it inside the task."
            ) from error
        return {PICKLE_MARK: base64.b64encode(data).decode()}

    return Leaf(_instance_check(annotation), dump, _load_pickle)


def _load_pickle(raw: Any, blobs: Blobs) -> Any:
    if isinstance(raw, dict) and PICKLE_MARK in raw:
        import cloudpickle  # see _pickle

        return cloudpickle.loads(base64.b64decode(raw[PICKLE_MARK]))
    return raw


def load_untyped(raw: Any, blobs: Blobs) -> Any:
    """Load a stored value whose annotation is not known: tables and pickles as they were, all else as plain JSON."""
    if isinstance(raw, dict):
        if ARROW_MARK in raw:
            return _load_table(raw, blobs)
        if PICKLE_MARK in raw:
            return _load_pickle(raw, blobs)
        return {key: load_untyped(value, blobs) for key, value in raw.items()}
    return [load_untyped(value, blobs) for value in raw] if isinstance(raw, list) else raw
