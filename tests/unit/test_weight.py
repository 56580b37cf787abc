"""Which annotations hold files or tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Optional

import pyarrow as pa
import pytest
from pydantic import BaseModel

from flyte_ray.io import Dir, File
from flyte_ray.types.weight import is_heavy


@dataclass
class Sample:
    name: str
    data: File[Any]


@dataclass
class Tree:
    below: list[Tree]


class Model(BaseModel):
    weights: Optional[Dir[Any]] = None  # noqa: UP045 - both ways of writing it


@pytest.mark.parametrize(
    "annotation",
    [
        *(File, Dir, File[str], pa.Table, list[File], dict[str, Dir | None], tuple[int, pa.Table], Sample),
        *(list[Model], Annotated[File, "said"]),
    ],
)
def test_what_holds_files_or_tables_is_heavy(annotation: Any) -> None:
    assert is_heavy(annotation)


@pytest.mark.parametrize("annotation", [int, None, Any, str | None, list[dict[str, float]], Tree, BaseModel, "Tree"])
def test_all_else_is_not(annotation: Any) -> None:
    assert not is_heavy(annotation)
