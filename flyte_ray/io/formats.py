"""Tables in files: Parquet, CSV and Arrow IPC, one file or a folder of them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import IO, Any, Final, Literal, get_args

from flyte_ray.errors import InvalidDeclaration
from flyte_ray.storage.files import arrow_place
from flyte_ray.storage.providers import Options

Format = Literal["parquet", "csv", "arrow"]
PARQUET: Final = "parquet"
CSV: Final = "csv"
ARROW: Final = "arrow"
_SUFFIXES: Final = {
    **dict.fromkeys((".parquet", ".pq"), PARQUET),
    ".csv": CSV,
    **dict.fromkeys((".arrow", ".feather", ".ipc"), ARROW),
}


def format_of(path: str, given: str = "") -> str:
    """Return the format of a file, by its name if none is given; Parquet for what has none in its name.

    Raises:
        InvalidDeclaration: There is no such format.

    """
    name = given.lower() or _SUFFIXES.get(os.path.splitext(path.rstrip("/"))[1].lower(), PARQUET)
    if name not in get_args(Format):
        raise InvalidDeclaration(f"A table's format is one of {', '.join(get_args(Format))}, got {given!r}. Name one.")
    return name


def write_table(table: Any, file: IO[bytes], form: str) -> None:
    """Write a `pyarrow.Table` to a file.

    Raises:
        ValueError: The format has no place for a column's type.

    """
    import pyarrow as pa  # there is a table of it

    try:
        if form == PARQUET:
            from pyarrow import parquet  # slow to import, as are the others

            parquet.write_table(table, file)
        elif form == CSV:
            from pyarrow import csv

            csv.write_csv(table, file)
        else:
            with pa.ipc.new_file(file, table.schema) as writer:
                writer.write_table(table)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise ValueError(f"a table that {form} can hold was expected, but {error}") from error


class TableFile:
    """A table in a file, or in the files of a folder, of which only its schema is read at first."""

    def __init__(self, uri: str, form: str, options: Options) -> None:
        """Look at its schema.

        Raises:
            FileNotFoundError: Nothing lies there.
            ValueError: It is not of the format.

        """
        import pyarrow as pa  # a fifth of a second with its datasets; only who reads one pays it
        from pyarrow import dataset

        self._uri, self._format = uri, form
        path, filesystem = arrow_place(uri, options)
        try:
            self._dataset = dataset.dataset(path, filesystem=filesystem, format="ipc" if form == ARROW else form)
            self.schema: Any = self._dataset.schema
        except FileNotFoundError as error:
            raise FileNotFoundError(f"There is no table at {uri}.") from error
        except pa.ArrowInvalid as error:
            raise self._unlike(error) from error

    def _unlike(self, error: Exception) -> ValueError:
        # Arrow says first, and at length, where it looked.
        reason = str(error).partition(". Detail")[0].splitlines()[0].rpartition("': ")[2].removeprefix("Invalid: ")
        return ValueError(
            f"A table in the format {self._format} was expected at {self._uri}, got: {reason.rstrip('.')}. Name its"
            f" format, or correct what lies there."
        )

    def read(self, columns: Sequence[str] | None = None) -> Any:
        """Return it as a `pyarrow.Table`, or some of its columns, in the order wanted."""
        import pyarrow as pa  # see __init__

        try:
            return self._dataset.to_table(columns=self._present(columns))
        except pa.ArrowInvalid as error:
            raise self._unlike(error) from error

    def pieces(self, columns: Sequence[str] | None = None) -> Iterator[Any]:
        """Yield it in pieces, as `pyarrow.Table`."""
        import pyarrow as pa  # see __init__

        try:
            for batch in self._dataset.to_batches(columns=self._present(columns)):
                if batch.num_rows:
                    yield pa.Table.from_batches([batch]).replace_schema_metadata(self.schema.metadata)
        except pa.ArrowInvalid as error:
            raise self._unlike(error) from error

    def _present(self, columns: Sequence[str] | None) -> list[str] | None:
        missing = [name for name in columns or () if name not in self.schema.names]
        if missing:
            raise ValueError(
                f"The table at {self._uri} should have the column '{missing[0]}', got {', '.join(self.schema.names)}."
                f" Name columns that it has."
            )
        return None if columns is None else list(columns)
