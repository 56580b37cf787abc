"""Fixtures that several files use, and what all tests have in common."""

from __future__ import annotations

import os
import signal

import pytest
from hypothesis import HealthCheck, settings

from tests.ray_cluster import connected, ray_address, ray_root
from tests.s3_server import s3_root, s3_running

# Processes that tests start sign with it, too, and no test makes a key in the home of who runs them.
os.environ.setdefault("FLYTE_RAY_KEY", "for tests only, not secret")
# Who ends the tests so has them end what they have started, too: as Ctrl-C does, fixtures are torn down.
signal.signal(signal.SIGTERM, signal.default_int_handler)
# What else the loaded profile says stays, such as that CI draws the same examples each time.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

__all__ = ["connected", "ray_address", "ray_root", "s3_root", "s3_running"]


def pytest_collection_modifyitems(items: list[pytest.Function]) -> None:
    """Begin with the files that start processes or a cluster, which take long: quick ones fill up what remains."""
    slow = {item.path for item in items if hasattr(item.module, "subprocess") or "ray_address" in item.fixturenames}
    items.sort(key=lambda item: item.path not in slow)
