"""Measure how long a shell waits for `flyte-ray --help`, and for completions. Needs neither Ray nor a root.

The baseline is a Python that starts and imports click.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

from benchmarks.figures import Figure
from benchmarks.measuring import Bench, seconds_of

PROGRAM = "import flyte_ray as flyte\nenv = flyte.TaskEnvironment('a')\n\n\n@env.task\ndef double(x: int) -> int: ...\n"
CLI = (sys.executable, "-m", "flyte_ray.cli.main")
SHELL = (sys.executable, "-c", "from flyte_ray.cli.main import main; main(prog_name='flyte-ray')")
"""What a shell calls when it asks: the command by its name, whose variable click reads."""


def measure(bench: Bench) -> Iterator[Figure]:
    """Ask for the list of verbs, for the completion's code, and for a verb and a task that are begun."""
    file = bench.root / "demo.py"
    file.write_text(PROGRAM)
    asked = {"_FLYTE_RAY_COMPLETE": "bash_complete"}
    verb = {**asked, "COMP_WORDS": "flyte-ray sub", "COMP_CWORD": "1"}
    task = {**asked, "COMP_WORDS": f"flyte-ray submit {file} do", "COMP_CWORD": "3"}
    click = timed((sys.executable, "-c", "import click"), bench.repeat)
    for title, words, variables, most in (
        ("flyte-ray --help", (*CLI, "--help"), {}, 0.4),
        ("flyte-ray completion bash", (*CLI, "completion", "bash"), {}, None),
        ("completion of a verb", SHELL, verb, None),
        ("completion of a task", SHELL, task, None),
    ):
        yield Figure(f"shell: {title}", "s", timed(words, bench.repeat, variables), at_most=most)
    yield Figure("shell: python -c 'import click', for comparison", "s", click)


def timed(words: Sequence[str], times: int, variables: Mapping[str, str] = MappingProxyType({})) -> list[float]:
    """Return the seconds that a command took, each time; the first one, which reads from disk, is left out."""

    def run() -> None:
        subprocess.run(words, env={**os.environ, **variables}, check=True, capture_output=True)

    return [seconds_of(run) for _ in range(times + 1)][1:]
