"""Runs from the cells of a notebook on a cluster: by value, shown live, and found again when their kernel is gone."""

from __future__ import annotations

from pathlib import Path

import nbformat

from tests.kernel import kernel, pictures, traceback_of
from tests.ray_cluster import CLIENT_PORTS, TOP

WAITS = """
import time
from pathlib import Path
import flyte_ray as flyte

env = flyte.TaskEnvironment("left")

def is_there(path: str) -> bool:
    return Path(path).exists()

@env.task
def waits(path: str) -> str:
    while not is_there(path):
        time.sleep(0.1)
    return "went on"

run = flyte.with_runcontext(name="left-alone").run(waits, PATH)
"""
INTERRUPTED = """
import os, signal, threading
threading.Timer(1, os.kill, (os.getpid(), signal.SIGINT)).start()
run.wait()
"""
FAR = """
import time
import ray
import flyte_ray as flyte

def connect(address: str, tries: int = 4) -> None:
    while True:
        tries -= 1
        try:
            return ray.init(address, log_to_driver=False) and None
        except ConnectionError:  # Ray gives each client a server of its own, and that half a minute to start
            if not tries:
                raise

connect(ADDRESS)
env = flyte.TaskEnvironment("far")

@env.task
def double(x: int) -> int:
    return 2 * x

@env.task
def total(n: int) -> int:
    return sum(flyte.map(double, range(n)))
"""


def test_the_notebook_of_the_examples_runs_on_a_cluster(ray_address: str, ray_root: Path, tmp_path: Path) -> None:
    notebook = nbformat.read(Path(TOP, "examples", "notebook.ipynb"), as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "it is committed without outputs"
    variables = {"RAY_ADDRESS": ray_address, "FLYTE_RAY_ROOT": str(ray_root)}
    with kernel(tmp_path, variables, notebook) as running:
        for number, cell in enumerate(notebook.cells):
            running.client.execute_cell(cell, number)
    outputs = [cell.outputs for cell in notebook.cells if cell.cell_type == "code"]
    highest, actions, found = (cells[-1]["data"] for cells in outputs[-3:])
    assert "np.float64(" in highest["text/plain"]
    phases = "[('prices.compare', 'succeeded'), ('prices.study', 'succeeded'),"
    assert actions["text/plain"].replace("\n", "").startswith(phases)
    assert "<table" in found["text/html"] and "5 succeeded" in found["text/html"]


def test_a_run_goes_on_without_its_kernel_and_another_one_shows_it(
    ray_address: str, ray_root: Path, tmp_path: Path
) -> None:
    variables = {"RAY_ADDRESS": ray_address, "FLYTE_RAY_ROOT": str(ray_root)}
    flag = tmp_path / "flag"
    with kernel(tmp_path, variables) as first:
        (begun,) = pictures(first.run(WAITS.replace("PATH", repr(str(flag)))))
        assert "left-alone" in begun
        told = traceback_of(first.run(INTERRUPTED, fails=True))
        assert "KeyboardInterrupt: run left-alone goes on without this. Abort it: flyte-ray abort left-alone" in told
    with kernel(tmp_path, variables) as second:
        second.run("import flyte_ray as flyte")
        (shown,) = pictures(second.run("run = flyte.remote.Run.get('left-alone')\nrun"))
        assert "running" in shown or "queued" in shown
        flag.touch()
        outputs = second.run("print(run.outputs())\nrun")
        assert outputs[0]["text"] == "('went on',)\n"
        assert "went on" in pictures(outputs)[0] and "1 succeeded" in pictures(outputs)[0]


def test_a_notebook_reaches_a_cluster_through_ray_client(ray_address: str, ray_root: Path, tmp_path: Path) -> None:
    with kernel(tmp_path, {"FLYTE_RAY_ROOT": str(ray_root)}) as far:
        far.run(FAR.replace("ADDRESS", repr(f"ray://127.0.0.1:{CLIENT_PORTS[ray_address]}")))
        outputs = far.run("run = flyte.run(total, 4)\nrun.outputs()")
        assert outputs[-1]["data"]["text/plain"] == "(12,)" and "5 succeeded" in pictures(outputs)[0]
        assert far.value("flyte.run(total, 5).outputs()") == "(20,)"  # its ledger is known by now
