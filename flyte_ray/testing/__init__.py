"""Helpers for tests of code that runs on flyte-ray; see docs/testing.md."""

from __future__ import annotations

from flyte_ray.testing.clocks import FakeClock
from flyte_ray.testing.faults import FaultPlan
from flyte_ray.testing.judging import assert_not_executed_again, executions
from flyte_ray.testing.running import run_local, temporary_root
from flyte_ray.testing.stubs import stub

__all__ = [
    "FakeClock",
    "FaultPlan",
    "assert_not_executed_again",
    "executions",
    "run_local",
    "stub",
    "temporary_root",
]
