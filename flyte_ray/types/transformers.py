"""Types that a user, or a package, teaches us to store.

Invariants: a transformer turns a value into one that we can store already, and back; what it gives is stored by what it
is itself, so it may be a dict, bytes, a table or a `File`.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
from typing import Any, Final, Generic, TypeVar

from flyte_ray.types.form import Build, CannotStoreError, Form, MismatchError, name_of, show
from flyte_ray.types.place import Blobs

T = TypeVar("T")
GROUP: Final = "flyte_ray.plugins.types"
"""Entry points of this group are loaded before a type is taken for unknown; what they name is called, or a module."""
_log = logging.getLogger("flyte_ray.types")


class TypeTransformerFailedError(TypeError):
    """A transformer could not rebuild a value. Source: `flyte.types.TypeTransformerFailedError`."""


class TypeTransformer(Generic[T]):
    """Stores and rebuilds values of a type. Source: `flyte.types.TypeTransformer`.

    Subclasses have `to_literal` and `to_python_value`, sync or async. In place of Flyte's literals stand values of
    types that can be stored already.
    """

    def __init__(self, name: str, t: type[T], enable_type_assertions: bool = True) -> None:
        """Describe the transformer.

        Args:
            name: Shown in errors.
            t: The type, whose subclasses are meant, too.
            enable_type_assertions: Values must be instances of it.

        """
        self.name, self.python_type, self.type_assertions_enabled = name, t, enable_type_assertions

    def assert_type(self, t: type[T], v: T) -> None:
        """Check a value at the call.

        Raises:
            TypeError: It is not of the type, as the message says.

        """
        wanted = t if isinstance(t, type) else self.python_type
        if self.type_assertions_enabled and not isinstance(v, wanted):
            raise TypeError(f"expected {name_of(t)}, got {show(v)}")

    def to_literal(self, python_val: T, python_type: type[T], expected: Any = None) -> Any:
        """Turn a value into one that can be stored.

        Args:
            python_val: The value.
            python_type: Its annotation.
            expected: Always None; Flyte's type of literal.

        """
        raise NotImplementedError(f"{type(self).__name__} has no to_literal")

    def to_python_value(self, lv: Any, expected_python_type: type[T]) -> T | Any:
        """Rebuild a value from what `to_literal` gave."""
        raise NotImplementedError(f"{type(self).__name__} has no to_python_value")


class Registry:
    """The transformers of this process."""

    def __init__(self) -> None:
        """Begin with none."""
        self._by_type: dict[type, TypeTransformer[Any]] = {}
        self._are_plugins_loaded = False
        self._lock = threading.RLock()

    def add(self, transformer: TypeTransformer[Any], cls: type) -> None:
        """Use a transformer for a type.

        Raises:
            ValueError: There is one for the type.

        """
        known = self._by_type.get(cls)
        if known is not None and type(known).__qualname__ != type(transformer).__qualname__:
            raise ValueError(
                f"Values of {cls.__name__} should have one transformer, got '{transformer.name}' beside '{known.name}'."
                f" Register one of them."
            )
        self._by_type[cls] = transformer

    def find(self, cls: Any) -> TypeTransformer[Any] | None:
        """Return the transformer of a type or of the nearest of its bases."""
        if not self._by_type or not isinstance(cls, type):
            return None
        return next((self._by_type[base] for base in cls.__mro__ if base in self._by_type), None)

    def find_plugin(self, cls: Any) -> TypeTransformer[Any] | None:
        """Return the transformer that an installed package has for a type that is not known otherwise."""
        with self._lock:
            if not self._are_plugins_loaded:
                self._are_plugins_loaded = True
                from importlib import metadata  # with the rest of 'email', which who knows all types does without

                for entry in metadata.entry_points(group=GROUP):
                    _load_plugin(entry)
        return self.find(cls)


def _load_plugin(entry: Any) -> None:
    try:
        found = entry.load()
        if callable(found):
            found()
    except Exception:  # a package of somebody else's must not keep a task from running that may not need it
        _log.exception("the types of the package behind entry point '%s' could not be loaded", entry.name)


registry: Final = Registry()


def transformed_form(annotation: Any, cls: Any, transformer: TypeTransformer[Any], build: Build) -> Form:
    """Describe values that a transformer stores."""
    untyped = build(Any)
    name = name_of(annotation)

    def check(value: Any) -> None:
        try:
            transformer.assert_type(annotation, value)
        except (TypeError, ValueError, AssertionError) as error:
            raise MismatchError(name, value) from error

    def dump(value: Any, blobs: Blobs) -> Any:
        try:
            literal = settled(transformer.to_literal(value, annotation, None))
        except Exception as error:  # what a user's transformer does may fail in any way
            raise CannotStoreError(
                f"the transformer '{transformer.name}' could not store {show(value)}: {type(error).__name__}: {error}"
            ) from error
        return untyped.dump(literal, blobs)

    def load(raw: Any, blobs: Blobs) -> Any:
        literal = untyped.load(raw, blobs)
        try:
            return settled(transformer.to_python_value(literal, annotation))
        except Exception as error:  # see dump
            raise TypeTransformerFailedError(
                f"The transformer '{transformer.name}' should rebuild a {name} from {show(literal)}, but raised"
                f" {type(error).__name__}: {error}."
            ) from error

    return Form(name, check, dump, load, classes=frozenset({cls}))


def settled(found: Any) -> Any:
    """Wait for an async method, on a loop of its own: the one that runs here may be waiting for us."""
    if not inspect.iscoroutine(found):
        return found
    results: list[Any] = []

    def run() -> None:
        try:
            results.extend((True, asyncio.run(found)))
        except BaseException as error:
            results.extend((False, error))

    thread = threading.Thread(target=run, name="flyte-ray-transformer")
    thread.start()
    thread.join()
    succeeded, value = results
    if not succeeded:
        raise value
    return value
