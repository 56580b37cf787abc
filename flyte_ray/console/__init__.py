"""The console: pages on the HTTP API, for people. The pages hold no data; they read the API as any client does."""

from __future__ import annotations
