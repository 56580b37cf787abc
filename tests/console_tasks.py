"""Tasks whose runs the console's tests look at."""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path

import numpy as np
import pyarrow as pa

import flyte_ray as flyte
from flyte_ray.io import DataFrame, Dir, File

env = flyte.TaskEnvironment("shown", resources=flyte.Resources(cpu=1), env_vars={"SECRET": "hidden"})
PNG = b"\x89PNG\r\n\x1a\n"


class Unknown:
    """What only a pickle can store."""


@env.task
def values(words: str, scale: float) -> tuple[pa.Table, File, Dir, str, Unknown, np.ndarray, dict[str, int]]:
    table = pa.table({"number": list(range(1000)), "word": [f"<b>{number}" for number in range(1000)]})
    image: File = File.new_remote("plot.png")
    with image.open_sync("wb") as file:
        file.write(PNG)
    folder = Path(tempfile.mkdtemp())
    (folder / "notes.txt").write_text("noted")
    return table, image, Dir(path=str(folder)), words * 2000, Unknown(), np.zeros((2, 3)), {"a": 1}


@env.task
def returned(file: File) -> File:
    return file


@env.task
def price(row: int) -> int:
    print(f"row {row}")
    if row == 2:
        raise ValueError(f"row {row} has no price")
    return row


@env.task
def total(rows: int) -> int:
    with flyte.group("prices"):
        return sum(price(row) for row in range(rows))


@env.task(retries=2)
async def unsteady() -> int:
    if flyte.ctx().attempt_number < 1:
        print("first")
        raise OSError("not reached")
    print("second")
    return await ask(1)


@flyte.trace
async def ask(number: int) -> int:
    return number


@env.task(report=True)
def reporting() -> None:
    flyte.report.log("<script>alert(1)</script><p>hello</p>")


@env.task
def asking() -> bool:
    return flyte.new_condition("sure", "Are **you** sure?", prompt_type="markdown", timeout=60).wait()


LOOKED = threading.Event()


@env.task
def waiting_for_the_console() -> int:
    found = price(1)
    LOOKED.wait(60)
    return found


@env.task
def frame() -> DataFrame:
    return DataFrame.from_df(pa.table({"n": list(range(250)), "part": [[1, 2]] * 250, "none": [None] * 250}))
