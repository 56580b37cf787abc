"""Fixtures that several files use."""

from __future__ import annotations

from tests.ray_cluster import connected, ray_address
from tests.s3_server import s3_root, s3_running

__all__ = ["connected", "ray_address", "s3_root", "s3_running"]
