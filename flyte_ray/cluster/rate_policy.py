"""Scale an app by its requests per second: the policy that Serve's controller asks.

Ray pickles what stands in this module by value, for its controller need not have this package: so nothing here may come
from another module of ours.
"""

from __future__ import annotations

import math
from typing import Any


class RatePolicy:
    """Has as many replicas as the requests per second need; Serve adds bounds, delays and the first replica of none."""

    def __init__(self, per_replica: int) -> None:
        """Give each replica so many per second."""
        self._per_replica = per_replica

    def __call__(self, context: Any) -> tuple[int, dict[str, Any]]:
        """Decide; see Ray's `AutoscalingContext`."""
        rates = (context.aggregated_metrics or {}).get("request_rate", {})
        # A stream that stays open is no new request, and must not be cut off for that.
        return max(math.ceil(sum(rates.values()) / self._per_replica), int(context.total_num_requests > 0)), {}
