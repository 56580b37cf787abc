"""A console that this process serves, on a port of its own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from tests.ray_cluster import free_port


@contextmanager
def served(console: Any) -> Iterator[str]:
    """Serve a console; yields its address."""
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(console, port=port, log_config=None, timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()
