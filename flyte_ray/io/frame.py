"""A table as a task's input or output, that is read when somebody opens it, as whatever library's table is wanted."""

from __future__ import annotations

import asyncio
import importlib
import os
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Final, NoReturn, TypeVar, cast

from pydantic import PrivateAttr, ValidationInfo, model_validator
from typing_extensions import Self

from flyte_ray.errors import UnsupportedError
from flyte_ray.io.formats import PARQUET, TableFile, format_of, write_table
from flyte_ray.io.located import Located, seen
from flyte_ray.storage.files import Found, list_files
from flyte_ray.storage.working import writing
from flyte_ray.types.columns import Columns, check_schema, index_of, python_types, selected
from flyte_ray.types.content import table_digest
from flyte_ray.types.datasets import is_dataset
from flyte_ray.types.form import CannotStoreError, name_of
from flyte_ray.types.frames import KINDS, NotArrowError, arrow_of, describe, kind_of
from flyte_ray.types.hashing import CONTENT, HashMethod, begun
from flyte_ray.types.place import OWN_MARK, Blobs

T = TypeVar("T")
_ONE_COLUMN: Final = ("pandas.Series", "polars.Series", "pyarrow.RecordBatch")
_END: Final = object()
_NOWHERE: Final = (
    "a table or a place of one was expected, and the DataFrame has neither. Make it with DataFrame.from_df(table) or"
    " DataFrame(uri=...)."
)


class DataFrame(Located):
    """A table in memory, on this machine or behind a URL; recorded, one in memory lies in the object store.

    Source: `flyte.io.DataFrame`.
    """

    _kind: ClassVar[str] = "table"

    path: str = ""
    _val: Any = PrivateAttr(default=None)
    _wanted: Any = PrivateAttr(default=None)
    _columns: Columns | None = PrivateAttr(default=None)

    if TYPE_CHECKING:  # pydantic tells type checkers of fields alone, and Flyte's name for the path is another one

        def __init__(
            self,
            *,
            uri: str | None = None,
            path: str = "",
            name: str | None = None,
            format: str = "",
            hash: str | None = None,
        ) -> None: ...

    @model_validator(mode="before")
    @classmethod
    def _take_uri(cls, raw: Any, info: ValidationInfo) -> Any:
        if isinstance(raw, dict) and "uri" in raw:
            return {("path" if key == "uri" else key): value or "" for key, value in raw.items()}
        return raw

    @property
    def uri(self) -> str | None:
        """Where it lies; None while it is in memory alone."""
        return self.path or None

    @property
    def val(self) -> Any:
        """The table in memory that it was made from; None if it lies somewhere."""
        return self._val

    @classmethod
    def from_df(cls, val: Any = None, uri: str | None = None) -> Self:
        """Make one of a table of any library; it is stored when a task takes or returns it.

        Args:
            val: A table of pyarrow, pandas or polars.
            uri: A path or URL that it is written to, at once; without a table, one to refer to.

        Raises:
            TypeError: It is no table.

        """
        if val is None:
            return cls(path=uri or "")
        return cls.from_local_sync(val, remote_destination=uri)

    wrap_df = from_df

    @classmethod
    def from_local_sync(
        cls,
        df: Any,
        columns: Columns | None = None,
        remote_destination: str | None = None,
        hash_method: HashMethod | str | None = None,
    ) -> Self:
        """Make one of a table of any library; it is stored when a task takes or returns it.

        Args:
            df: A table of pyarrow, pandas or polars.
            columns: Names and types that it must have, such as `{"a": int}`; they alone are read by who opens it.
            remote_destination: A path or URL that it is written to, at once; the format is that of its name.
            hash_method: Gives the hash of the table, or is the hash; a digest of the content unless it is given.

        Raises:
            TypeError: It is no table.
            ValueError: It lacks a column.
            InvalidDeclaration: The destination's name is that of another format.
            StoreError: It cannot be written.

        """
        table, _ = _to_arrow(df)
        if columns is not None:
            check_schema(table.schema, columns)
        found = None
        if hash_method is not None:
            found = hash_method if isinstance(hash_method, str) else _hashed(begun(hash_method), df)
        if remote_destination is not None:
            form = format_of(remote_destination, is_written=True)
            with writing(remote_destination) as file:
                write_table(table, file, form)
            made = cls(path=remote_destination, format=form, hash=found)
        else:
            made = cls(hash=found)
            made._val = df
        made._columns = columns
        return made

    @classmethod
    async def from_local(
        cls,
        df: Any,
        columns: Columns | None = None,
        remote_destination: str | None = None,
        hash_method: HashMethod | str | None = None,
    ) -> Self:
        """Make one of a table without blocking the loop, see `from_local_sync`."""
        return await asyncio.to_thread(cls.from_local_sync, df, columns, remote_destination, hash_method)

    @classmethod
    def from_existing_remote(cls, remote_path: str, format: str | None = None, **kwargs: Any) -> Self:
        """Refer to a file, or a folder of files, behind a URL, which stays where it is.

        Args:
            remote_path: Such as `s3://bucket/table.parquet`.
            format: `parquet`, `csv` or `arrow`; that of the name unless it is given.
            kwargs: `hash`, which stands for the content where values are compared.

        Raises:
            ValueError: It is no URL.
            InvalidDeclaration: There is no such format.

        """
        found = cls._refer(remote_path, kwargs.pop("hash", None))
        if kwargs:
            raise TypeError(f"from_existing_remote takes 'hash', got '{next(iter(kwargs))}'. Leave it out.")
        return found.model_copy(update={"format": format_of(remote_path, format or "")})

    def open(self, dataframe_type: type[Any]) -> Self:
        """Choose what it is read as.

        Args:
            dataframe_type: `pandas.DataFrame`, `pyarrow.Table`, `polars.DataFrame`, `polars.LazyFrame` or
                `ray.data.Dataset`.

        Raises:
            TypeError: It is none of these.

        """
        kind = kind_of(dataframe_type)
        if (kind is None or kind.name in _ONE_COLUMN) and not is_dataset(dataframe_type):
            names = [name for name in KINDS if name not in _ONE_COLUMN]
            raise TypeError(
                f"A DataFrame is opened as one of {', '.join(names)} or ray.data.Dataset, got"
                f" {name_of(dataframe_type)}. Name its class."
            )
        copy = self._copied()
        copy._wanted = dataframe_type
        return copy

    def all_sync(self) -> Any:
        """Read it, as what it was opened as: all rows of the columns that are declared.

        Raises:
            TypeError: It was not opened.
            FileNotFoundError: Nothing lies there.
            ValueError: It is not of its format, or lacks a column.

        """
        wanted = self._require_wanted()
        if self._val is not None and type(self._val) is wanted and self._columns is None:
            return self._val
        if is_dataset(wanted):
            return importlib.import_module("ray.data").from_arrow(self._table())
        kind = kind_of(wanted)
        assert kind is not None, "it was checked when it was opened"
        return kind.from_arrow(self._table(), self._about(wanted))

    async def all(self) -> Any:
        """Read it without blocking the loop, see `all_sync`."""
        return await asyncio.to_thread(self.all_sync)

    def iter_sync(self) -> Iterator[Any]:
        """Yield it in pieces, as what it was opened as, so that never all of it is in memory. Ours, not Flyte's."""
        kind = kind_of(self._require_wanted())
        if kind is None:
            raise TypeError("A ray.data.Dataset has pieces of its own, and was opened with iter. Take all.")
        if self._val is not None:
            pieces: Iterable[Any] = (self._table(),)
        else:
            file = self._file()
            pieces = file.pieces(self._names(file.schema))
        for piece in pieces:
            yield kind.from_arrow(piece, {})

    async def iter(self) -> AsyncIterator[Any]:
        """Yield it in pieces without blocking the loop, see `iter_sync`."""
        pieces = self.iter_sync()
        while (piece := await asyncio.to_thread(next, pieces, _END)) is not _END:
            yield piece

    def columns(self) -> dict[str, Any]:
        """Return the Python types of its columns, those that are declared if there are any."""
        return dict(self._columns) if self._columns is not None else python_types(self._schema())

    def column_names(self) -> list[str]:
        """Return the names of its columns, those that are declared if there are any."""
        return list(self.columns())

    def set_literal(self, expected: Any) -> NoReturn:
        """Refuse: Flyte's engine has tables told by it which message they become. Source: `flyte.io.DataFrame`.

        Raises:
            UnsupportedError: Always.

        """
        raise UnsupportedError(
            f"DataFrame.set_literal takes a message of Flyte's, got {type(expected).__name__}; there are none here."
            f" Name columns and format in the annotation: Annotated[DataFrame, {{'a': int}}, 'csv']."
        )

    def narrowed(self, columns: Columns | None, form: str | None) -> Self:
        """Return it with the columns and the format that an annotation declares.

        Raises:
            ValueError: It is in memory, and lacks a column.

        """
        copy = self._copied()
        if columns is not None:
            if self._val is not None:
                check_schema(_to_arrow(self._val)[0].schema, columns)
            copy._columns = columns
        if form is not None and not self.path:
            object.__setattr__(copy, "format", format_of("", form))
        return copy

    def _copied(self) -> Self:
        copy = self.model_copy()
        copy._val = self._val
        return copy

    def _require_wanted(self) -> Any:
        if self._wanted is None:
            raise TypeError("A DataFrame is opened before it is read, and was not. Write df.open(pd.DataFrame).all().")
        return self._wanted

    def _about(self, wanted: Any) -> dict[str, Any]:
        same = self._val is not None and type(self._val) is wanted and self._columns is None
        return _to_arrow(self._val)[1] if same else {}

    def _schema(self) -> Any:
        return _to_arrow(self._val)[0].schema if self._val is not None else self._file().schema

    def _table(self) -> Any:
        if self._val is not None:
            table, _ = _to_arrow(self._val)
            return table if self._columns is None else selected(table, self._columns)
        return self._looking(lambda file: file.read(self._names(file.schema)))

    def _names(self, schema: Any) -> list[str] | None:
        if self._columns is None:
            return None
        try:
            check_schema(schema, self._columns)
        except ValueError as error:
            raise ValueError(f"{self.path}: {error}") from error
        return [*self._columns, *(name for name in index_of(schema) if name not in self._columns)]

    def _file(self) -> TableFile:
        return self._looking(lambda file: file)

    def _looking(self, look: Callable[[TableFile], T]) -> T:
        """Look into the file, as often as the store needs to answer; what is wrong with the file is no matter of it."""
        if not self.path:
            raise TypeError(_NOWHERE)

        def looked() -> tuple[T | None, ValueError | None]:
            try:
                return look(TableFile(self.path, format_of(self.path, self.format), self._options)), None
            except ValueError as error:
                return None, error

        found, wrong = self._reading(self.path, looked)
        if wrong is not None:
            raise wrong
        return cast("T", found)

    # What Located asks

    def _store(self, place: Blobs) -> dict[str, str]:
        if self._val is None and not self.path:
            raise CannotStoreError(_NOWHERE)
        if self._val is None:
            return {**super()._store(place), "format": format_of(self.path, self.format)}
        try:
            table, about = _to_arrow(self._val)
            form = self.format or PARQUET
            digest = table_digest(table, describe({"format": form, **about}), dictionaries=True)
            uri = place.put_written(lambda file: write_table(table, file, form), f".{form}", digest[:32])
        except (TypeError, ValueError) as error:
            raise CannotStoreError(str(error)) from error
        return {"path": f"{OWN_MARK}{uri}", "name": uri, "format": form, "hash": self.hash or f"{CONTENT}{digest}"}

    def _stamp(self) -> str | None:
        there = self._look_there(f"There is no table at {self.path}.")
        if there is None:
            return None
        if not there.is_folder:
            return seen(there.size, there.mark)
        files = self._look(lambda: list_files(self.path, self._options)) or []
        return seen(len(files), describe({"files": [_about_file(each) for each in files]}))

    @classmethod
    def _check_kind(cls, is_folder: bool, path: str) -> None:
        """Take both: a table may lie in one file or in many."""

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        """Show where it lies, or what it is."""
        if self._val is not None:
            yield "val", name_of(type(self._val))
        else:
            yield from super().__repr_args__()

    def __getstate__(self) -> dict[str, Any]:
        """Keep the table that is in memory."""
        state = super().__getstate__()
        kept = {"_val": self._val, "_wanted": self._wanted, "_columns": self._columns}
        return {**state, "__pydantic_private__": {**state["__pydantic_private__"], **kept}}


def _about_file(found: Found) -> list[Any]:
    return [os.path.basename(found.uri), found.size, found.mark]


def _to_arrow(value: Any) -> tuple[Any, dict[str, Any]]:
    kind = kind_of(type(value))
    if kind is None:
        raise TypeError(
            f"A DataFrame is made of a table of pyarrow, pandas or polars, got {type(value).__name__}. Pass such a"
            f" table."
        )
    try:
        table, about = arrow_of(kind, value)
    except NotArrowError as error:
        raise TypeError(
            f"a table that Arrow can hold was expected, but {error}. Annotate it as {kind.name}."
        ) from error
    twice = [name for name, count in Counter(table.column_names).items() if count > 1]
    if twice:
        raise TypeError(f"a table whose columns have a name each was expected, got two of '{twice[0]}'. Rename one.")
    return table, about


def _hashed(method: HashMethod, df: Any) -> str:
    method.update(df)
    return method.result()
