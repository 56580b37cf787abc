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


def format_of(path: str, given: str = "", *, is_written: bool = False) -> str:
    """Return the format of a file, by its name if none is given; Parquet for what has none in its name.

    Args:
        path: The file; of one that is read its name may end in that of a compression, as `.csv.gz`.
        given: The format.
        is_written: Nothing lies there yet: it must not be named for another format.

    Raises:
        InvalidDeclaration: There is no such format.

    """
    stem, suffix = os.path.splitext(path.rstrip("/").lower())
    if is_written and suffix in (*_COMPRESSED, *_OTHERS):
        raise InvalidDeclaration(
            f"A table is written as one of {', '.join(get_args(Format))}, got {path!r}. End its name in .parquet,"
            f" .csv or .arrow."
        )
    if suffix in _COMPRESSED:
        suffix = os.path.splitext(stem)[1]
    name = given.lower() or _SUFFIXES.get(suffix, PARQUET)
    if name not in get_args(Format):
        raise InvalidDeclaration(f"A table's format is one of {', '.join(get_args(Format))}, got {given!r}. Name one.")
    return name


_COMPRESSED: Final = (".gz", ".bz2", ".zst", ".lz4")
_OTHERS: Final = (
    ".xls",
    ".xlsx",
    ".json",
    ".jsonl",
    ".ndjson",
    ".tsv",
    ".txt",
    ".orc",
    ".avro",
    ".html",
    ".xml",
    ".pkl",
)
"""What names tables of formats that we do not write."""


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


def _reader(form: str) -> Any:
    """Say how Arrow reads a format."""
    if form != CSV:
        return "ipc" if form == ARROW else form
    from pyarrow import csv, dataset  # see TableFile

    # A text that is not there is none, as a number is; one that is empty stands in quotes.
    options = csv.ConvertOptions(strings_can_be_null=True, quoted_strings_can_be_null=False)
    return dataset.CsvFileFormat(convert_options=options)


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
            self._dataset = dataset.dataset(path, filesystem=filesystem, format=_reader(form))
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
