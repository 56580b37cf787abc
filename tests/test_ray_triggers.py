"""A trigger on a real cluster: its ledger fires it, also if it dies at that moment."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

import flyte_ray as flyte
from flyte_ray.cluster.names import ledger_name
from flyte_ray.errors import RunNotFoundError
from flyte_ray.ledger.triggers import load_fired, run_name
from flyte_ray.spec.schedule import us_of
from flyte_ray.storage import open_store
from tests.ray_cluster import process_of, ray_environ
from tests.waiting import within

until = within(120)
FILE = """
from datetime import datetime
import flyte_ray as flyte

env = flyte.TaskEnvironment("fired")

@env.task
def tell(at: datetime, word: str) -> str:
    return f"{word} {at.isoformat()}"
"""


def has_run(name: str) -> bool:
    try:
        return bool(flyte.remote.Run.get(name).done())
    except RunNotFoundError:
        return False


def test_a_ledger_fires_a_trigger_that_was_due_when_it_died(connected: Path, tmp_path: Path) -> None:
    (tmp_path / "fired_file.py").write_text(FILE)
    command = [sys.executable, "-m", "flyte_ray.cli.main", "deploy", "fired_file.py", "--root", str(connected)]
    subprocess.run(command, cwd=tmp_path, env=ray_environ(), check=True, timeout=120, capture_output=True)
    soon = datetime.now(timezone.utc).replace(microsecond=0) + timedelta(seconds=12)
    trigger = flyte.Trigger(
        "soon", flyte.FixedRate(60, soon), inputs={"at": flyte.TriggerTime, "word": "ready"}, catchup="all"
    )
    made = flyte.remote.Trigger.create(trigger, "fired.tell")
    name = run_name(made.record, us_of(soon))
    until(lambda: datetime.now(timezone.utc) > soon - timedelta(seconds=0.5))
    os.kill(process_of(ledger_name(f"file://{connected}")), signal.SIGKILL)
    until(lambda: has_run(name))
    assert flyte.remote.Run.get(name).outputs() == (f"ready {soon.isoformat()}",)
    until(lambda: load_fired(open_store(connected), "fired.tell", "soon").last_run == name)
    flyte.remote.Trigger.delete("soon", "fired.tell")
