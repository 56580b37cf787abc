"""Verbs on the command line."""

from __future__ import annotations

from typing import Final

CONFIG: Final = "flyte_ray.config"
"""Where the file of `--config` stands in the `meta` of the whole command's context."""
VERBOSE: Final = "flyte_ray.verbose"
"""Where it stands how often `-v` was given."""
WORDS: Final = "flyte_ray.words"
"""And the words of the whole command."""
