"""Measure how long it is from the shell to a greeting, and until a first action begins."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ray

from benchmarks import work
from benchmarks.figures import Figure
from benchmarks.measuring import BARE, CORES, Bench, seconds_of, start_ray

TOP = Path(__file__).resolve().parent.parent
bare_begun: Any = ray.remote(lambda: time.time())


def measure(bench: Bench) -> Iterator[Figure]:
    """Greet from the command line in fresh processes; begin actions in a warm cluster."""
    imports = script("-c", "import pyarrow; from pydantic import TypeAdapter; print('Hello, world!')")
    yield greeting(bench, "local", imports, submit(bench, "--local"), "python with pyarrow and pydantic", 3.0)
    if bench.mode == "local":
        return
    yield from first(bench)
    address = ray.get_runtime_context().gcs_address
    alone = bare_script(f"ray.init(address={address!r})")
    yield greeting(bench, "attached, new code each time", alone, submit(bench, "--address", address), BARE, 1.2)
    ray.shutdown()  # an embedded run starts a Ray of its own: it gets the machine alone
    yield greeting(bench, "embedded", bare_script(f"ray.init(num_cpus={CORES})"), submit(bench), BARE, 1.2)
    start_ray()


def first(bench: Bench) -> Iterator[Figure]:
    """Ask for one action while the cluster is warm, in a known environment and in a new one; until its code begins."""

    def bare(new: bool) -> float:
        options = {"runtime_env": {"env_vars": {"FRESH": uuid.uuid4().hex}}} if new else {}
        start = time.time()
        return float(ray.get(bare_begun.options(**options).remote())) - start

    def mine(new: bool) -> float:
        task = work.begun.override(env_vars={"FRESH": uuid.uuid4().hex}) if new else work.begun
        start = time.time()
        return float(bench.start(task)[0]) - start

    for title, new, most in (("a known environment", False, None), ("a new environment (variables)", True, 1.15)):
        bare(new), mine(new)
        pairs = [(bare(new), mine(new)) for _ in range(max(3, bench.repeat))]
        theirs, ours = ([1000 * seconds for seconds in side] for side in zip(*pairs, strict=True))
        yield Figure(f"first action on a warm cluster, {title}", "ms", ours, theirs, BARE, at_most=most)


def greeting(
    bench: Bench, title: str, theirs: Callable[[], float], mine: Callable[[], float], against: str, most: float
) -> Figure:
    """Compare two ways to greet, in turns, after one of each for warming up."""
    theirs(), mine()
    pairs = [(theirs(), mine()) for _ in range(bench.repeat)]
    bare, ours = zip(*pairs, strict=True)
    return Figure(f"hello-world from the shell, {title}", "s", ours, bare, against, at_most=most)


def submit(bench: Bench, *options: str) -> Callable[[], float]:
    """Submit a hello-world whose code no process has seen."""

    def run() -> float:
        folder = bench.root / f"project-{uuid.uuid4().hex}"
        folder.mkdir()
        (folder / "hello.py").write_text(
            "import flyte_ray as flyte\n\nenv = flyte.TaskEnvironment('hello')\n\n\n@env.task\n"
            f"def hello() -> str:\n    return 'Hello, world!'  # {folder.name}\n"
        )
        words = ("submit", "--root", str(bench.root), *options, str(folder / "hello.py"), "hello")
        return script("-m", "flyte_ray.cli.main", *words)()

    return run


def bare_script(init: str) -> Callable[[], float]:
    """Greet with bare Ray, from a task with a new variable."""
    lines = (
        "import ray, uuid",
        init,
        "new = {'env_vars': {'FRESH': uuid.uuid4().hex}}",
        "print(ray.get(ray.remote(lambda: 'Hello, world!').options(runtime_env=new).remote()))",
    )
    return script("-c", "\n".join(lines))


def script(*arguments: str) -> Callable[[], float]:
    """Run Python with arguments until it has greeted and ended; seconds."""
    environ = {key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"}
    environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(TOP), environ.get("PYTHONPATH")]))

    def run() -> None:
        done = subprocess.run(
            [sys.executable, *arguments], cwd=TOP, env=environ, capture_output=True, text=True, check=False
        )
        if done.returncode or "Hello, world!" not in done.stdout:
            raise RuntimeError(f"python {' '.join(arguments)} should have greeted, but ended with:\n{done.stderr}")

    return lambda: seconds_of(run)
