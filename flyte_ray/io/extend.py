"""Teach us tables of further libraries: `flyte.io.extend`.

Invariants: what is taught is Arrow on its way to the store, as every other table is; so one encoder and one decoder
serve all formats and places, and a class that has both may stand wherever a table may.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Generic, TypeVar

from flyte_ray.io.frame import DataFrame
from flyte_ray.types.annotations import forget_forms
from flyte_ray.types.form import CannotStoreError, name_of, show
from flyte_ray.types.frames import Kind, kind_of, teach
from flyte_ray.types.transformers import settled

T = TypeVar("T")


class DataFrameEncoder(ABC, Generic[T]):
    """Turns tables of a class into Arrow ones. Source: `flyte.io.extend.DataFrameEncoder`."""

    def __init__(self, python_type: type[T], protocol: str | None = None, supported_format: str | None = None) -> None:
        """Describe the encoder.

        Args:
            python_type: The class; its subclasses are not meant.
            protocol: Accepted; tables are written to every place.
            supported_format: Accepted; tables are written in every format.

        """
        self.python_type, self.protocol, self.supported_format = python_type, protocol, supported_format

    @abstractmethod
    def encode(self, dataframe: DataFrame, structured_dataset_type: Any = None) -> Any:
        """Return a `pyarrow.Table` of all rows and columns of `dataframe.val`; may be async.

        Args:
            dataframe: Holds the table.
            structured_dataset_type: Always None; Flyte's type of literal.

        """


class DataFrameDecoder(ABC, Generic[T]):
    """Rebuilds tables of a class from Arrow ones. Source: `flyte.io.extend.DataFrameDecoder`."""

    def __init__(
        self,
        python_type: type[T],
        protocol: str | None = None,
        supported_format: str | None = None,
        additional_protocols: Sequence[str] | None = None,
    ) -> None:
        """Describe the decoder; see `DataFrameEncoder`."""
        self.python_type, self.protocol, self.supported_format = python_type, protocol, supported_format
        self.additional_protocols = list(additional_protocols or ())

    @abstractmethod
    def decode(self, flyte_value: Any, current_task_metadata: Any = None) -> Any:
        """Return the table; may be async.

        Args:
            flyte_value: A `pyarrow.Table` with the columns that are wanted.
            current_task_metadata: Always None; Flyte's description of the columns.

        """


class DataFrameTransformerEngine:
    """The tables that are known. Source: `flyte.io.extend.DataFrameTransformerEngine`."""

    _encoders: ClassVar[dict[type, DataFrameEncoder[Any]]] = {}
    _decoders: ClassVar[dict[type, DataFrameDecoder[Any]]] = {}

    @classmethod
    def register(
        cls,
        h: DataFrameEncoder[Any] | DataFrameDecoder[Any],
        default_for_type: bool = False,
        override: bool = False,
        default_format_for_type: bool = False,
        default_storage_for_type: bool = False,
    ) -> None:
        """Use an encoder or a decoder for its class.

        Register where the class is declared, at the top level of a module: every process that runs the task imports it.

        Args:
            h: The encoder or decoder.
            default_for_type: Accepted, as are the other defaults: there is one for all formats and places.
            override: Take the place of one that is registered already, or of ours.
            default_format_for_type: See `default_for_type`.
            default_storage_for_type: See `default_for_type`.

        Raises:
            TypeError: It is neither.
            ValueError: Tables of the class are known already, and it shall not take their place.

        """
        if not isinstance(h, (DataFrameEncoder, DataFrameDecoder)):
            raise TypeError(
                f"DataFrameTransformerEngine.register expects a DataFrameEncoder or a DataFrameDecoder, got"
                f" {show(h)}. Pass an instance of a subclass."
            )
        of_its_kind: dict[type, Any] = cls._encoders if isinstance(h, DataFrameEncoder) else cls._decoders
        is_ours = kind_of(h.python_type) is not None and h.python_type not in {**cls._encoders, **cls._decoders}
        known = of_its_kind.get(h.python_type)
        is_other = known is not None and type(known).__qualname__ != type(h).__qualname__
        if (is_ours or is_other) and not override:
            raise ValueError(
                f"A class whose tables are not known yet was expected, got {name_of(h.python_type)}. Say override=True"
                f" to take the place of what is known."
            )
        of_its_kind[h.python_type] = h
        teach(h.python_type, cls._kind(h.python_type))
        forget_forms()

    @classmethod
    def _kind(cls, of: type) -> Kind:
        name = f"{of.__module__}.{of.__qualname__}"

        def to_arrow(value: Any) -> tuple[Any, dict[str, Any]]:
            import pyarrow as pa  # only who hands over such a table pays it

            encoder = cls._encoders.get(of)
            if encoder is None:
                raise CannotStoreError(
                    f"an encoder of {name} was expected, and there is none. Register one with"
                    f" DataFrameTransformerEngine.register of flyte_ray.io.extend."
                )
            frame = DataFrame()
            frame._val = value
            table = settled(encoder.encode(frame, None))
            if not isinstance(table, pa.Table):
                raise CannotStoreError(
                    f"{type(encoder).__name__}.encode should return a pyarrow.Table, got {show(table)}."
                    f" Convert it there."
                )
            return table, {}

        def from_arrow(table: Any, _: dict[str, Any]) -> Any:
            decoder = cls._decoders.get(of)
            if decoder is None:
                raise TypeError(
                    f"A decoder of {name} was expected, and there is none. Register one with"
                    f" DataFrameTransformerEngine.register of flyte_ray.io.extend."
                )
            return settled(decoder.decode(table, None))

        return Kind(name, to_arrow, from_arrow)
