"""Say what this package and the code of tasks log, where the program has not set up logging itself.

The levels of the process that starts a run travel with it, so that its slots are as talkative.
"""

from __future__ import annotations

import logging
import sys
from typing import Final

system_logger: Final = logging.getLogger("flyte_ray")
"""What this package has to say."""
logger: Final = logging.getLogger("flyte_ray.user")
"""For the code of tasks; from INFO on, unless `init(user_log_level=...)` says otherwise."""
logger.setLevel(logging.INFO)
FORMAT: Final = "%(levelname)s %(name)s: %(message)s"


class Teller(logging.Handler):
    """Writes records to whatever stderr is at the moment, so that they are kept with the action that logged them."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record, unless somebody else does."""
        others = (*logging.getLogger().handlers, *system_logger.handlers, *logger.handlers)
        if all(handler is self for handler in others):
            sys.stderr.write(self.format(record) + "\n")


_teller: Final = Teller()
_teller.setFormatter(logging.Formatter(FORMAT))
system_logger.addHandler(_teller)


def set_levels(system: int | str | None, user: int | str | None) -> None:
    """Set the levels of both loggers, by number or by name in any case; None leaves one as it is.

    Raises:
        ValueError: There is no such level.

    """
    for each, level in ((system_logger, system), (logger, user)):
        if level is not None:
            each.setLevel(level.upper() if isinstance(level, str) else level)


def levels() -> tuple[int, int]:
    """Return the levels of both loggers, as `set_levels` takes them."""
    return system_logger.level, logger.level
