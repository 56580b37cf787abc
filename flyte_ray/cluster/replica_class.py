"""The class that Serve runs in each replica of an app; it hands everything on to `apps/replica.py`.

Ray pickles classes of modules by reference, for which the node would need this package first: this one is made inside a
function, so that it travels by value, and it makes the package importable before it uses it.
"""

from __future__ import annotations

from typing import Any


def replica_class(*, tells_rate: bool = False) -> type:
    """Return the class; it is constructed with what `serving.py` binds.

    Args:
        tells_rate: Its replicas tell Serve their `request_rate`, by which they are scaled.

    """

    class App:
        guarded: Any = None

        # Serve awaits it.
        async def __init__(self, program: str, record: str, root: str, storage: Any) -> None:  # type: ignore[misc]
            import importlib
            import json
            import uuid

            import ray

            exec(program, {"__name__": "flyte_ray_arrival"})
            guard = importlib.import_module("flyte_ray.cluster.guard")
            node = ray.get_runtime_context().get_node_id()
            self.guarded = guard.guarded(f"app-{uuid.uuid4().hex[:8]}", node)
            self.guarded.__enter__()
            about = json.loads(record)
            module, _, name = about["entry"].partition(":")
            self.inner = getattr(importlib.import_module(module), name)(about, root, storage)
            await self.inner.start()

        def __serve_build_asgi_app__(self) -> Any:  # Serve's name
            return self.inner

        async def request(self, method: str, path: str, headers: Any = None, body: bytes = b"") -> Any:
            return await self.inner.request(method, path, headers or {}, body)

        async def check_health(self) -> None:
            self.inner.check_health()

        def __del__(self) -> None:
            if self.guarded is not None:
                self.guarded.__exit__(None, None, None)  # ends what is left below this process

    class CountingApp(App):
        def record_autoscaling_stats(self) -> dict[str, float]:
            return {"request_rate": self.inner.request_rate()}

    return CountingApp if tells_rate else App
