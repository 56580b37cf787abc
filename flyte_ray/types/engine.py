"""What a user calls to teach us types: Flyte's `TypeEngine`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flyte_ray.types.annotations import SCALARS, forget_forms
from flyte_ray.types.transformers import TypeTransformer, registry


class TypeEngine:
    """The types that can be stored. Source: `flyte.types.TypeEngine`."""

    @classmethod
    def register(cls, transformer: TypeTransformer[Any], additional_types: Iterable[type] | None = None) -> None:
        """Use a transformer for its type, and for more.

        Register where the type is declared, at the top level of a module: every process that runs the task imports it.

        Args:
            transformer: Stores and rebuilds the values.
            additional_types: Further types that it is used for.

        Raises:
            TypeError: It is no transformer.
            ValueError: A type has one already, or is plain.

        """
        if not isinstance(transformer, TypeTransformer):
            raise TypeError(
                f"TypeEngine.register expects a TypeTransformer, got {type(transformer).__name__}. Pass an instance of"
                f" a subclass."
            )
        for each in (transformer.python_type, *(additional_types or ())):
            if each in SCALARS:
                raise ValueError(
                    f"A type of your own was expected, got {each.__name__}, which is stored as it is. Make a class."
                )
            registry.add(transformer, each)
        forget_forms()

    @classmethod
    def get_transformer(cls, python_type: type) -> TypeTransformer[Any]:
        """Return the transformer that was registered for a type or for a base of it.

        Raises:
            ValueError: There is none.

        """
        found = registry.find(python_type) or registry.find_plugin(python_type)
        if found is None:
            raise ValueError(
                f"A registered type was expected, got {python_type.__name__}. Register one with TypeEngine.register."
            )
        return found
