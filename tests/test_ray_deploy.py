"""Deployed tasks on a real cluster."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import flyte_ray as flyte
from tests.ray_cluster import ray_environ

FILE = """
import os
import flyte_ray as flyte

rates = flyte.TaskEnvironment("rates", env_vars={"CITY": "Bern"})

@rates.task
def half(x: int) -> float:
    return x / 2

@rates.task
def rate(x: int, factor: float = 3.0) -> str:
    return f"{os.environ['CITY']} {half(x) * factor} {os.getpid()}"
"""
env = flyte.TaskEnvironment("callers")
rate = flyte.remote.Task.get("rates.rate", auto_version="latest")


@env.task
async def ask(x: int) -> str:
    return f"{await rate(x)} {os.getpid()} {os.environ.get('CITY')}"


def test_a_deployed_task_runs_in_slots_of_its_own_as_a_child_of_its_caller(connected: Path, tmp_path: Path) -> None:
    (tmp_path / "rates_file.py").write_text(FILE)
    command = [sys.executable, "-m", "flyte_ray.cli.main", "deploy", "rates_file.py", "--root", str(connected)]
    subprocess.run(command, cwd=tmp_path, env=ray_environ(), check=True, timeout=120, capture_output=True)
    (tmp_path / "rates_file.py").write_text(FILE.replace("x / 2", "x / 0"))  # what is deployed counts
    run = flyte.run(ask, 4)
    city, value, there, here, none = run.outputs()[0].split()
    assert (city, value, none) == ("Bern", "6.0", "None")
    assert there != here
    tree = [(row["task"], row["depth"]) for row in run.actions_table().to_pylist()]
    assert tree == [("callers.ask", 0), ("rates.rate", 1), ("rates.half", 2)]
    alone = flyte.run(rate, x=2, factor=1.0)
    assert alone.outputs()[0].startswith("Bern 1.0 ")
