"""How long a shell waits for `flyte-ray --help`, and for the completion of a task's name.

`python -m benchmarks.shell`; needs neither Ray nor a root. The baseline is a Python that starts and imports click.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

REPEATS = 7
TARGET_S = 0.4
PROGRAM = "import flyte_ray as flyte\nenv = flyte.TaskEnvironment('a')\n\n\n@env.task\ndef double(x: int) -> int: ...\n"
CLI = (sys.executable, "-m", "flyte_ray.cli.main")


def measure(words: Sequence[str], variables: Mapping[str, str] = MappingProxyType({})) -> list[float]:
    """Return the seconds that a command took, each time; the first one, which reads from disk, is left out."""
    seconds = []
    for _ in range(REPEATS + 1):
        begin = time.perf_counter()
        subprocess.run(words, env={**os.environ, **variables}, check=True, capture_output=True)
        seconds.append(time.perf_counter() - begin)
    return seconds[1:]


def main() -> None:
    """Measure and print a table."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "demo.py")
        file.write_text(PROGRAM)
        asked = {"_FLYTE_RAY_COMPLETE": "bash_complete", "COMP_WORDS": f"flyte-ray submit {file} do", "COMP_CWORD": "3"}
        rows = {
            "python -c 'import click'": measure((sys.executable, "-c", "import click")),
            "flyte-ray --help": measure((*CLI, "--help")),
            "flyte-ray completion bash": measure((*CLI, "completion", "bash")),
            "completion of a verb": measure(_shell(), {**asked, "COMP_WORDS": "flyte-ray sub", "COMP_CWORD": "1"}),
            "completion of a task": measure(_shell(), asked),
        }
    print(
        f"Python {sys.version.split()[0]}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {REPEATS} times each"
    )
    for name, seconds in rows.items():
        print(f"{name:<28} {statistics.median(seconds):.2f} s  ({min(seconds):.2f} to {max(seconds):.2f})")
    slow = statistics.median(rows["flyte-ray --help"]) > TARGET_S
    print(f"target of --help: {TARGET_S} s{': missed' if slow else ''}")
    sys.exit(slow)


def _shell() -> tuple[str, ...]:
    """Return what a shell calls when it asks: the command by its name, whose variable click reads."""
    return (sys.executable, "-c", "from flyte_ray.cli.main import main; main(prog_name='flyte-ray')")


if __name__ == "__main__":
    main()
