"""Tell people and other systems how a run ended: `flyte.notify`, for `with_runcontext(notifications=)`."""

from __future__ import annotations

from flyte_ray.spec.notification import Email, NamedDelivery, NamedRule, Notification, Slack, Teams, Webhook

__all__ = ["Email", "NamedDelivery", "NamedRule", "Notification", "Slack", "Teams", "Webhook"]
