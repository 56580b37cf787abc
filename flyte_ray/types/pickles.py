"""Pickle what nothing else stores, signed, and say so once for each class."""

from __future__ import annotations

import inspect
import warnings
from typing import Any, Generic, TypeVar

from flyte_ray.types.form import CannotStoreError, Form, name_of, show
from flyte_ray.types.large import INLINE_BYTES, get_bytes, put_bytes
from flyte_ray.types.marks import PICKLE_MARK
from flyte_ray.types.place import Blobs

T = TypeVar("T")
_announced: set[type] = set()


class FlytePickle(Generic[T]):
    """Annotate `FlytePickle[X]` to have values of `X` pickled, and nothing said about it. Source: `flyte.types`."""


def pickle_form(inner: Form) -> Form:
    """Describe values that shall be pickled, although they may have a form."""

    def dump(value: Any, blobs: Blobs) -> Any:
        _announced.add(type(value))
        return dump_pickle(value, blobs)

    return Form(f"FlytePickle[{inner.name}]", inner.check, dump, load_pickle, "object", inner.classes)


def dump_pickle(value: Any, blobs: Blobs, why: str = "") -> Any:
    """Pickle a value.

    Args:
        value: The value.
        blobs: Where it lies if it is large.
        why: Why it has no other form, if others of its class have one.

    Raises:
        CannotStoreError: It cannot be pickled, or must not be.

    """
    import cloudpickle  # only where nothing better fits

    if inspect.iscoroutine(value):
        value.close()  # what is said here need not be said again by Python's warning
        raise CannotStoreError(
            f"values must be storable, got the coroutine '{value.__qualname__}', which was not awaited. Write"
            f" 'await' before the call; sync code calls sync tasks."
        )
    pickling = blobs.pickling
    pickling.require(type(value), why)
    try:
        data = cloudpickle.dumps(value)
    except Exception as error:  # what a class does on being pickled may fail in any way
        raise CannotStoreError(
            f"values must be storable, got {show(value)}, which is not: {error}. Pass what it is made from, and make"
            f" it inside the task, or say how {name_of(type(value))} is stored:"
            f" flyte.types.TypeEngine.register(...) of a TypeTransformer."
        ) from error
    _announce(type(value), why)
    if len(data) > INLINE_BYTES:
        return {PICKLE_MARK: {**put_bytes(data, ".pickle", blobs), "signed": pickling.sign(data)}}
    return {PICKLE_MARK: pickling.pack(data)}


def _announce(kind: type, why: str) -> None:
    if kind not in _announced:
        _announced.add(kind)
        name = kind.__qualname__
        where = f" where {why}" if why else ""
        warnings.warn(
            f"Values of type {name} have no typed form{where}: pickled, and equal to no others. Annotate"
            f" FlytePickle[{name}] to have this said no more.",
            stacklevel=3,
        )


def load_pickle(raw: Any, blobs: Blobs) -> Any:
    """Rebuild what `dump_pickle` was given.

    Raises:
        PickleRefusedError: It is not signed with the key that counts here.

    """
    import cloudpickle  # see dump_pickle

    held, pickling = raw[PICKLE_MARK], blobs.pickling
    if not isinstance(held, dict):
        return cloudpickle.loads(pickling.unpack(held))
    signature = held.get("signed", "")
    pickling.ensure_loads(signature)  # before it is fetched
    data = get_bytes(held, blobs)
    pickling.check(signature, data)
    return cloudpickle.loads(data)
