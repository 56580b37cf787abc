"""Find the form of an annotation.

Invariants: no library is imported that the annotation does not name already; what is found for a class of fields is
kept, because such classes may hold themselves.
"""

from __future__ import annotations

import collections
import collections.abc
import enum
import typing
from collections.abc import Callable
from typing import Any, Final

import typing_extensions

from flyte_ray.types.arrays import array_form
from flyte_ray.types.choices import enum_form, is_union, literal_form, optional_form, union_form
from flyte_ray.types.columns import is_columns
from flyte_ray.types.containers import dict_form, fixed_tuple_form, list_form, set_form, tuple_form
from flyte_ray.types.datasets import dataset_form, is_dataset
from flyte_ray.types.form import Form, name_of
from flyte_ray.types.hashed import hashed_form, is_hash_method
from flyte_ray.types.messages import is_message, message_form
from flyte_ray.types.models import is_any_model, is_constraint, is_model, model_form, pydantic_form
from flyte_ray.types.narrowed import frame_form, is_narrowed, narrowed_form
from flyte_ray.types.pickles import FlytePickle, pickle_form
from flyte_ray.types.records import record_form
from flyte_ray.types.scalars import TEXTS, bytes_form, complex_form, path_form, scalar_form, text_form
from flyte_ray.types.tables import table_form
from flyte_ray.types.tensors import tensor_form
from flyte_ray.types.transformers import registry, transformed_form
from flyte_ray.types.untyped import is_path, opaque_form, untyped_form

SCALARS: Final[dict[Any, Form]] = {
    **{cls: scalar_form(cls) for cls in (int, str, bool, float, type(None))},
    None: scalar_form(type(None)),
}
_kept: dict[Any, Form] = {}
"""Forms of classes of fields, and of what no annotation tells."""


def forget_forms() -> None:
    """Find forms anew from here on: a type may be known now that was not."""
    _kept.clear()


def build_form(annotation: Any) -> Form:
    """Choose how values of an annotation are stored; worth keeping, it compiles the annotation."""
    try:
        found = SCALARS.get(annotation) or _kept.get(annotation)
    except TypeError:  # an annotation with metadata that cannot be hashed
        found = None
    return found or _by_kind(annotation)


def _by_kind(annotation: Any) -> Form:
    if annotation is Any or annotation is object:
        return _keep(Any, untyped_form(build_form))
    origin = typing_extensions.get_origin(annotation)
    if origin is typing.Annotated:
        return _annotated(annotation)
    if is_union(origin):
        return _union(typing.get_args(annotation))
    if origin is typing.Literal:
        return literal_form(typing.get_args(annotation), build_form)
    meant = _meant(annotation, origin)
    if meant is not annotation:
        return build_form(meant)
    if origin is not None and not isinstance(origin, type):
        return build_form(Any)
    return _of_class(annotation, origin or annotation)


def _keep(annotation: Any, form: Form) -> Form:
    _kept[annotation] = form
    return form


def _annotated(annotation: Any) -> Form:
    inner, *metadata = typing.get_args(annotation)
    is_checked = any(is_constraint(each) for each in metadata)
    form = (pydantic_form(annotation, build_form) if is_checked else None) or build_form(inner)
    columns = next((each for each in metadata if is_columns(each)), None)
    if is_narrowed(inner):
        form = narrowed_form(form, inner, columns, next((each for each in metadata if isinstance(each, str)), None))
    elif columns is not None:
        form = table_form(inner, build_form, columns) or form
    method = next((each for each in metadata if is_hash_method(each)), None)
    return form if method is None else hashed_form(form, method)


def _union(parts: tuple[Any, ...]) -> Form:
    members = [part for part in parts if part is not type(None)]
    if len(members) == 1 and len(parts) == 2:
        return optional_form(build_form(members[0]))
    return union_form([build_form(part) for part in parts], build_form)


def _meant(annotation: Any, origin: Any) -> Any:
    """Look behind a name for another annotation."""
    if hasattr(annotation, "__supertype__"):  # a NewType
        return annotation.__supertype__
    if isinstance(annotation, typing.TypeVar):
        options = annotation.__constraints__
        return typing.Union.__getitem__(options) if options else annotation.__bound__ or Any
    if isinstance(annotation, typing_extensions.TypeAliasType):
        return annotation.__value__
    if isinstance(origin, typing_extensions.TypeAliasType):
        return origin.__value__[typing.get_args(annotation)]
    if isinstance(annotation, (str, typing.ForwardRef)):
        return Any
    return annotation


def _of_class(annotation: Any, cls: Any) -> Form:
    arguments = typing.get_args(annotation)
    transformer = registry.find(cls)
    if transformer is not None:
        return transformed_form(annotation, cls, transformer, build_form)
    if cls is FlytePickle:
        return pickle_form(build_form(arguments[0] if arguments else Any))
    if cls in _CONTAINERS:
        return _CONTAINERS[cls](cls, arguments)
    if cls in _ABSTRACT:
        return _abstract(cls, arguments)
    if cls in TEXTS:
        return text_form(cls, build_form)
    if cls in (bytes, bytearray):
        return bytes_form(cls, build_form)
    if cls is complex:
        return complex_form(build_form)
    if is_path(cls):
        return path_form(cls)
    found = table_form(cls, build_form) or array_form(annotation, build_form) or tensor_form(cls, build_form)
    if found is not None:
        return found
    if is_dataset(cls):
        return dataset_form(cls, build_form)
    if isinstance(cls, type) and issubclass(cls, enum.Enum):
        return enum_form(cls)
    record = record_form(annotation, build_form)
    if record is not None:
        return _keep(annotation, record)
    if is_message(cls):
        return message_form(cls)
    if is_model(cls):
        form = model_form(annotation, build_form)
        return _keep(annotation, frame_form(form, cls) if is_narrowed(cls) else form)
    return _unknown(annotation, cls)


def _unknown(annotation: Any, cls: Any) -> Form:
    if cls in (collections.abc.Callable, type) or is_any_model(cls):
        return opaque_form(cls, name_of(annotation), build_form)
    transformer = registry.find_plugin(cls)
    if transformer is not None:
        return transformed_form(annotation, cls, transformer, build_form)
    # What pydantic has a JSON form for, such as an IP address. An abstract class says nothing of its values.
    known = None if typing_extensions.is_protocol(cls) else pydantic_form(annotation, build_form)
    return _keep(annotation, known or opaque_form(cls, name_of(annotation), build_form))


def _list(_: Any, arguments: tuple[Any, ...]) -> Form:
    return list_form(build_form(arguments[0] if arguments else Any), build_form)


def _set(cls: Any, arguments: tuple[Any, ...]) -> Form:
    return set_form(cls, build_form(arguments[0] if arguments else Any), build_form)


def _tuple(_: Any, arguments: tuple[Any, ...]) -> Form:
    if not arguments:
        return tuple_form(build_form(Any), build_form)
    if arguments[-1] is Ellipsis:
        return tuple_form(build_form(arguments[0]), build_form)
    return fixed_tuple_form([build_form(part) for part in arguments if part != ()], build_form)


def _dict(cls: Any, arguments: tuple[Any, ...]) -> Form:
    key, value = arguments or (Any, Any)
    return dict_form(cls, build_form(key), build_form(value), build_form)


_CONTAINERS: Final[dict[Any, Callable[[Any, tuple[Any, ...]], Form]]] = {
    list: _list,
    set: _set,
    frozenset: _set,
    tuple: _tuple,
    dict: _dict,
    collections.OrderedDict: _dict,
}
_ABSTRACT: Final[dict[Any, tuple[Any, ...]]] = {
    collections.abc.Sequence: (list, tuple),
    collections.abc.MutableSequence: (list,),
    collections.abc.Collection: (list, tuple, set, frozenset),
    collections.abc.Iterable: (list, tuple, set, frozenset),
    collections.abc.Set: (set, frozenset),
    collections.abc.MutableSet: (set,),
    collections.abc.Mapping: (dict,),
    collections.abc.MutableMapping: (dict,),
}
"""The containers that a value of an abstract one most often is."""


def _abstract(cls: Any, arguments: tuple[Any, ...]) -> Form:
    members = []
    for kind in _ABSTRACT[cls]:
        given = (*arguments, Ellipsis) if kind is tuple and arguments else arguments
        members.append(_CONTAINERS[kind](kind, given))
    return union_form([*members, opaque_form(cls, name_of(cls), build_form)], build_form)
