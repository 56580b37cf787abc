"""Find the files that hold settings, under Flyte's names: `flyte.config`."""

from __future__ import annotations

from flyte_ray.api.config import Config, auto

__all__ = ["Config", "auto"]
