"""Turn the tables of other libraries into Arrow ones and back.

Invariants: what comes back is equal in values, types and index, or the table is refused here, so that it is pickled; no
library is imported whose table is not there.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from flyte_ray.types.form import CannotStoreError


class NotArrowError(CannotStoreError):
    """A table that Arrow would change."""


class Kind(NamedTuple):
    """A class of tables."""

    name: str
    """As people write it; stands in the record."""
    to_arrow: Callable[[Any], tuple[Any, dict[str, Any]]]
    """Gives a `pyarrow.Table`, and what else must be known to rebuild the value."""
    from_arrow: Callable[[Any, dict[str, Any]], Any]


def kind_of(cls: Any) -> Kind | None:
    """Return the kind of tables that a class is, without importing anything."""
    if not isinstance(cls, type):
        return None
    return _taught.get(cls) or KINDS.get(f"{cls.__module__.partition('.')[0]}.{cls.__name__}")


def kind_named(name: str) -> Kind:
    """Return the kind of tables that a record names.

    Raises:
        TypeError: It was taught to another process, not to this one.

    """
    found = KINDS.get(name) or next((kind for kind in _taught.values() if kind.name == name), None)
    if found is None:
        raise TypeError(
            f"A stored table is one of {name}, which nobody has taught this process. Import the module that registers"
            f" its encoder and decoder, see flyte_ray.io.extend."
        )
    return found


def teach(cls: type, kind: Kind) -> None:
    """Have a class of a user's own count as one of tables."""
    _taught[cls] = kind


def arrow_of(kind: Kind, value: Any) -> tuple[Any, dict[str, Any]]:
    """Turn a table into an Arrow one that an IPC file can hold: with one dictionary for all chunks of a column.

    Returns:
        The `pyarrow.Table`, and what else must be known to rebuild the value.

    Raises:
        NotArrowError: Arrow would change it.

    """
    import pyarrow as pa  # the value becomes a table of it, here and below

    table, about = kind.to_arrow(value)
    if any(column.num_chunks > 1 for column in table.columns):
        try:
            table = table.unify_dictionaries()
        except pa.ArrowException as error:
            raise NotArrowError(str(error)) from error
    return table, about


def _from_batch(batch: Any) -> tuple[Any, dict[str, Any]]:
    import pyarrow as pa

    return pa.Table.from_batches([batch]), {}


def _to_batch(table: Any, _: dict[str, Any]) -> Any:
    import pyarrow as pa

    batches = table.combine_chunks().to_batches()
    return batches[0] if batches else pa.RecordBatch.from_pylist([], table.schema)


def _from_pandas(frame: Any) -> tuple[Any, dict[str, Any]]:
    import pyarrow as pa

    about: dict[str, Any] = {}
    objects = [place for place, dtype in enumerate(frame.dtypes) if str(dtype) == "object"]
    if objects:
        about["objects"] = objects
    if _has_frequency(frame.index):
        about["frequency"] = frame.index.freqstr
    if _is_range(frame.columns):
        about["range"] = [frame.columns.start, frame.columns.stop, frame.columns.step]
    try:
        table = pa.Table.from_pandas(frame)
        _require_same(frame, table, about)
    except NotArrowError:
        raise
    except Exception as error:  # a column of any class of numbers, text or objects may fail in any way
        raise NotArrowError(str(error)) from error
    return table, about


def _is_range(index: Any) -> bool:
    """Tell an index of numbers that are counted, which a frame has that was given no labels."""
    return type(index).__name__ == "RangeIndex"


def _has_frequency(index: Any) -> bool:
    """Tell an index of moments or durations that knows their distance; that of periods is a part of its type."""
    return getattr(index, "freq", None) is not None and hasattr(type(index), "inferred_freq")


def _require_same(frame: Any, table: Any, about: dict[str, Any]) -> None:
    """Compare types and labels with what comes back, and the values where Arrow has to guess what they are.

    Raises:
        NotArrowError: Something would change.

    """
    objects = about.get("objects", ())
    has_guesses = bool(objects) or _types_of(frame.index) == ["object"] or frame.index.nlevels > 1
    if _has_frequency(frame.index) and _offset(about["frequency"]) != frame.index.freq:
        raise NotArrowError("the frequency of its index would change")
    back = _to_pandas(table if has_guesses else table.slice(0, 0), about)
    if list(back.dtypes) != list(frame.dtypes):
        raise NotArrowError("the types of its columns would change")
    if back.attrs != frame.attrs or back.flags != frame.flags:
        raise NotArrowError("its attributes or flags would change")
    same_labels = all(_is_same_kind(getattr(back, axis), getattr(frame, axis)) for axis in ("index", "columns"))
    if (
        not same_labels
        or not back.columns.equals(frame.columns)
        or (has_guesses and not back.index.equals(frame.index))
    ):
        raise NotArrowError("its labels would change")
    for place, dtype in enumerate(frame.dtypes):
        if place in objects and not _is_same(back.iloc[:, place], frame.iloc[:, place]):
            raise NotArrowError(f"values of column {frame.columns[place]!r} would change")
        # In a nullable column of floats NaN is a value, and comes back as a missing one.
        if str(dtype).startswith("Float") and (frame.iloc[:, place] != frame.iloc[:, place]).any():
            raise NotArrowError(f"NaN in column {frame.columns[place]!r} would become NA")


def _is_same_kind(left: Any, right: Any) -> bool:
    if _is_range(left) and _is_range(right) and isinstance(right.name, str):
        return True  # one of other rows comes back without the name
    return type(left) is type(right) and _types_of(left) == _types_of(right) and left.names == right.names


def _types_of(index: Any) -> list[str]:
    return [str(dtype) for dtype in index.dtypes] if index.nlevels > 1 else [str(index.dtype)]


def _is_same(left: Any, right: Any) -> bool:
    try:
        return bool(left.equals(right)) and list(map(type, left)) == list(map(type, right))
    except (TypeError, ValueError):  # arrays and the like do not compare
        return False


def _offset(frequency: str) -> Any:
    from pandas.tseries.frequencies import to_offset  # see _from_batch

    return to_offset(frequency)


def _to_pandas(table: Any, about: dict[str, Any]) -> Any:
    frame = table.to_pandas()
    if about.get("objects"):
        frame = frame.astype({frame.columns[place]: object for place in about["objects"]})
    if about.get("range"):
        import pandas as pd  # there is a frame of it

        frame.columns = pd.RangeIndex(*about["range"], name=frame.columns.name)
    if about.get("frequency"):
        frame.index.freq = about["frequency"]
    return frame


def _from_series(series: Any) -> tuple[Any, dict[str, Any]]:
    named = series.name is not None
    table, about = _from_pandas(series.to_frame() if named else series.to_frame("0"))
    return table, about if named else {**about, "unnamed": True}


def _to_series(table: Any, about: dict[str, Any]) -> Any:
    series = _to_pandas(table, about).iloc[:, 0]
    return series.rename(None) if about.get("unnamed") else series


def _from_polars(frame: Any) -> tuple[Any, dict[str, Any]]:
    polars = importlib.import_module("polars")
    if polars.Object in frame.dtypes:
        raise NotArrowError("it holds Python objects")
    import pyarrow as pa

    try:
        return frame.to_arrow(compat_level=polars.CompatLevel.oldest()), {}
    except pa.ArrowException as error:  # whole numbers of 128 bits
        raise NotArrowError(str(error)) from error


def _to_polars(table: Any, _: dict[str, Any]) -> Any:
    frame = importlib.import_module("polars").from_arrow(table, rechunk=False)
    if frame.columns != table.column_names:  # it names what has an empty name
        frame.columns = table.column_names
    return frame


def _from_polars_series(series: Any) -> tuple[Any, dict[str, Any]]:
    return _from_polars(series.to_frame())


KINDS: Final = {
    kind.name: kind
    for kind in (
        Kind("pyarrow.Table", lambda table: (table, {}), lambda table, _: table),
        Kind("pyarrow.RecordBatch", _from_batch, _to_batch),
        Kind("pandas.DataFrame", _from_pandas, _to_pandas),
        Kind("pandas.Series", _from_series, _to_series),
        Kind("polars.DataFrame", _from_polars, _to_polars),
        Kind("polars.Series", _from_polars_series, lambda table, about: _to_polars(table, about).to_series()),
        Kind("polars.LazyFrame", lambda lazy: _from_polars(lazy.collect()), lambda t, a: _to_polars(t, a).lazy()),
    )
}
"""By name."""
_taught: Final[dict[type, Kind]] = {}


def describe(about: dict[str, Any]) -> str:
    """Write what is needed to rebuild a value, so that it counts where values are compared."""
    return json.dumps(about, sort_keys=True)
