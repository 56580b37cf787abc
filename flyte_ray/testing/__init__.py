"""Helpers for tests of code that runs on flyte-ray."""

from __future__ import annotations

from flyte_ray.testing.faults import FaultPlan

__all__ = ["FaultPlan"]
