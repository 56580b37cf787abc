"""A real kernel of Jupyter for tests: cells are run in it one by one, and what they show is kept."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

from tests.ray_cluster import ray_environ

Shown = list[dict[str, Any]]


class Kernel:
    """A kernel, and the notebook that grows with each cell."""

    def __init__(self, client: NotebookClient) -> None:
        self.client = client

    def run(self, code: str, *, fails: bool = False) -> Shown:
        """Run a cell and return its outputs; an error is one of them if the cell `fails`."""
        cell = nbformat.v4.new_code_cell(code, metadata={"tags": ["raises-exception"]} if fails else {})
        self.client.nb.cells.append(cell)
        self.client.execute_cell(cell, len(self.client.nb.cells) - 1)
        return list(cell.outputs)

    def value(self, code: str) -> str:
        """Run a cell and return the text of what it ends with."""
        return next(each["data"]["text/plain"] for each in self.run(code) if each["output_type"] == "execute_result")


def pictures(outputs: Shown) -> list[str]:
    """The HTML of the runs that a cell shows."""
    found = [each["data"].get("text/html", "") for each in outputs if each["output_type"] == "display_data"]
    return [text for text in found if "flyte-run" in text]


def traceback_of(outputs: Shown) -> str:
    """The traceback that a cell ended with, without its colours."""
    told = next(each["traceback"] for each in outputs if each["output_type"] == "error")
    return re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(told))


@contextmanager
def kernel(folder: Path, variables: Mapping[str, str], notebook: Any = None) -> Iterator[Kernel]:
    """Start a kernel in a folder; it ends with the block."""
    notebook = notebook or nbformat.v4.new_notebook()
    client = NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(folder)}})
    with client.setup_kernel(env={**ray_environ(), **variables}):
        yield Kernel(client)
