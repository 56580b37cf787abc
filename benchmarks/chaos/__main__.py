"""Ask whether a run ends right, and computes nothing finished again, while what it stands on is killed every 2 s.

Usage, from the top of the project: `python -m benchmarks.chaos [--seconds 120] [--root disk] [--seed 1]`.
A tree of 1,011 actions runs undisturbed once, then again and again under fire until the time is over: SIGKILL of
slots, ledger, launcher, driver, or all processes of a second node, each at random; its store, an S3 server, answers
through a proxy that errs and delays. Exit 1 if anything was wrong or done again.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple
from pathlib import Path

from benchmarks.chaos.cluster import WEIGHTS, Cluster, pick, running
from benchmarks.chaos.judge import Verdict, judge
from benchmarks.chaos.work import WIDTHS
from flyte_ray.spec.ids import RunId
from flyte_ray.storage import Store, open_store
from tests.faulty_proxy import FaultyProxy
from tests.ray_cluster import ray_environ
from tests.s3_server import s3_server

TOP = Path(__file__).resolve().parents[2]
EVERY_S = 2.0
"""Mean time between two kills."""
RATE = 0.05
"""Part of the store's answers that meet a fault."""
STUCK_S = 300.0
"""A run that takes longer than this hangs."""


Disturbed = tuple[float, Counter[str]]
"""Seconds of a run, and what was killed meanwhile."""


class Driver:
    """The process that waits for the run; started again when it was killed."""

    def __init__(self, name: str, effects: Path, environ: dict[str, str]) -> None:
        """Start it."""
        self._command = [sys.executable, "-m", "benchmarks.chaos.work", name, str(effects)]
        self._environ = environ
        self._log = effects.with_suffix(".driver")
        self._start()

    def _start(self) -> None:
        with self._log.open("a") as errors:
            self._process = subprocess.Popen(
                self._command, cwd=TOP, env=self._environ, stdout=subprocess.PIPE, stderr=errors, text=True
            )

    def kill(self) -> None:
        """Kill it and start another."""
        self._process.kill()
        self._process.communicate()
        self._start()

    def result(self) -> str | None:
        """Return what it printed; None while it waits."""
        if self._process.poll() is None:
            return None
        printed = self._process.communicate()[0].strip()
        assert self._process.returncode == 0, self._log.read_text()[-3000:]
        return printed

    def end(self) -> None:
        """Kill it for good, if it still waits."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.communicate()


def disturb(cluster: Cluster, driver: Driver, dice: random.Random, kills: Counter[str]) -> None:
    """Kill something."""
    kind = pick(dice)
    if kind == "driver":
        driver.kill()
    elif kind == "node":
        cluster.replace_second()
    else:
        victims = cluster.victims(kind)
        if not victims:
            return
        os.kill(dice.choice(victims), signal.SIGKILL)
    kills[kind] += 1


def execute(
    name: str, folder: Path, environ: dict[str, str], cluster: Cluster, dice: random.Random | None
) -> Disturbed:
    """Run the tree once, under fire if there are dice; return seconds and kills."""
    kills: Counter[str] = Counter()
    began = time.monotonic()
    driver = Driver(name, folder / f"{name}.effects", environ)
    next_kill = began + (dice.expovariate(1 / EVERY_S) if dice else STUCK_S * 2)
    try:
        while (printed := driver.result()) is None:
            assert time.monotonic() - began < STUCK_S, f"{name} hangs, after these kills: {dict(kills)}"
            time.sleep(0.05)
            if dice and time.monotonic() > next_kill:
                disturb(cluster, driver, dice, kills)
                next_kill = time.monotonic() + dice.expovariate(1 / EVERY_S)
    finally:
        driver.end()
    print(f"{name}: {printed} after {time.monotonic() - began:.1f} s, killed: {dict(kills) or 'nothing'}", flush=True)
    return time.monotonic() - began, kills


@contextmanager
def place(kind: str, folder: Path, seed: int) -> Iterator[tuple[str, dict[str, str], Store, FaultyProxy | None]]:
    """Provide a root: its URI, the variables that reach it through faults, and a store without them."""
    if kind == "disk":
        uri = f"file://{folder}/root"
        yield uri, {}, open_store(uri), None
        return
    with s3_server(folder / "s3", "chaos") as variables:
        proxy = FaultyProxy(variables["AWS_ENDPOINT_URL"], 0.0, seed)
        os.environ.update(variables)
        with proxy.running() as url:
            faulty = {name: url if name.startswith("AWS_ENDPOINT_URL") else text for name, text in variables.items()}
            yield "s3://chaos/root", faulty, open_store("s3://chaos/root"), proxy


def main() -> int:
    """Run, and print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=120.0, help="how long to disturb (the last run ends)")
    parser.add_argument("--root", choices=("s3", "disk"), default="s3", help="where the record lies")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of kills and faults")
    options = parser.parse_args()
    print(f"seed {options.seed}, root on {options.root}", flush=True)
    dice = random.Random(options.seed)
    with tempfile.TemporaryDirectory(prefix="chaos-") as where:
        folder = Path(where)
        with place(options.root, folder, options.seed) as (uri, variables, store, proxy):
            with running(4, {**variables, "PYTHONPATH": str(TOP)}) as cluster:
                environ = {**ray_environ(), **variables, "CHAOS_ROOT": uri, "CHAOS_ADDRESS": cluster.address}
                calm, _ = execute("calm", folder, environ, cluster, None)
                if proxy:
                    proxy.rate = RATE
                runs: list[Disturbed] = []
                while sum(seconds for seconds, _ in runs) < options.seconds:
                    runs.append(execute(f"chaos-{len(runs)}", folder, environ, cluster, dice))
            names = ["calm", *(f"chaos-{index}" for index in range(len(runs)))]
            verdicts = [judge(store, RunId(name), folder / f"{name}.effects", WIDTHS) for name in names]
    return report(calm, runs, verdicts, proxy)


def report(calm: float, runs: list[Disturbed], verdicts: list[Verdict], proxy: FaultyProxy | None) -> int:
    """Print the figures; return the exit status."""
    kills = sum((each for _, each in runs), Counter[str]())
    total = Verdict(*(sum(column) for column in zip(*map(astuple, verdicts[1:]), strict=True)))
    mean = sum(seconds for seconds, _ in runs) / len(runs)
    faults = Counter(proxy.faults if proxy else ())
    rows: list[tuple[str, float, str]] = [
        ("kills", kills.total(), ", ".join(f"{kind} {kills[kind]}" for kind in WEIGHTS)),
        ("answers of the store with a fault", faults.total() - faults["none"], f"of {faults.total()}"),
        ("actions", total.actions, f"in {len(runs)} runs"),
        ("executions", total.executions, ""),
        ("attempts lost", total.lost, f"{total.lost / max(1, kills.total()):.1f} per kill"),
        ("finished actions executed again", total.again + verdicts[0].again, "must be 0"),
        ("wrong results", total.wrong + verdicts[0].wrong, "must be 0"),
        ("seconds of a run", round(mean, 1), f"undisturbed {calm:.1f}, ratio {mean / calm:.2f}"),
    ]
    for name, figure, about in rows:
        print(f"{name:34}{figure:8,}  {about}".rstrip())
    return 1 if total.again or total.wrong or verdicts[0].wrong or verdicts[0].again else 0


if __name__ == "__main__":
    sys.exit(main())
