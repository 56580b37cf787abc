"""A run is killed at each point that a crash could separate, continued, and ends as if nothing had happened."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).parent.parent
STEPS = {
    *(
        "put probe",
        "put code",
        "put spec",
        "claim",
        "put index",
        "append",
        "put data",
        "put cache",
        "put snapshot",
        "put ended",
    ),
    *("release", "delete", "launch", "acknowledge"),
}


def test_a_run_that_is_killed_at_any_point_ends_as_the_undisturbed_one(tmp_path: Path) -> None:
    environ = {**os.environ, "PYTHONPATH": str(TOP)}
    command = [sys.executable, "-m", "tests.crashing", str(tmp_path)]
    done = subprocess.run(command, cwd=TOP, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    for line in lines:
        print(f"{line['point']}, time {line['nth']}: {'crashed' if line['crashed'] else 'not reached so often'}")
        # How often a point is reached differs from run to run, but for the first time.
        assert line["crashed"] or line["nth"] > 1, line
        assert line == {**line, "went_on": True, "same": True, "again": 0}, done.stderr[-3000:]
    assert {line["point"] for line in lines} == {f"{when} {step}" for step in STEPS for when in ("before", "after")}
