"""Read what the replicas of an app have printed, from the files of Ray's session on their nodes.

Runs in a Ray task, as `serving.py` does. Knows what lives: of a replica that has ended, Ray alone keeps the files.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import ray
from ray import serve
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from flyte_ray.cluster.package import arriving
from flyte_ray.cluster.serving import forget_lost_serve

_LIVE: Final = ("RUNNING", "STARTING", "UPDATING")
_NOTES: Final = (":job_id:", ":actor_name:", ":task_name:")
"""Begin the lines that Ray writes for its own log monitor."""


def read_logs(program: str, name: str, lines: int) -> list[dict[str, Any]]:
    """Read the ends of what the replicas of an app printed.

    Args:
        program: Makes this package importable on their nodes; see `package.py`.
        name: The app.
        lines: How many lines at most, of each replica.

    Returns:
        Of each replica `replica`, `node` and `text`.

    """
    forget_lost_serve()
    details = serve.context._get_global_client().get_serve_details()["applications"].get(name)
    if details is None:
        return []
    found = [each for deployment in details["deployments"].values() for each in deployment["replicas"]]
    live = [each for each in found if each["pid"] and str(each["state"]).rpartition(".")[2] in _LIVE]
    reading = ray.remote(arriving(__name__, read_process.__name__))
    refs = [reading.options(**_on(each["node_id"])).remote(program, each["pid"], lines) for each in live]
    return [
        {"replica": each["replica_id"], "node": each["node_id"], "text": text}
        for each, text in zip(live, ray.get(refs), strict=True)
    ]


def read_process(pid: int, lines: int) -> str:
    """Read the end of what a Ray process of this node printed, errors behind output."""
    folder = Path(ray._private.worker.global_worker.node.get_logs_dir_path())
    texts = []
    for ending in ("out", "err"):
        for path in folder.glob(f"worker-*-{pid}.{ending}"):
            said = [line for line in path.read_text(errors="replace").splitlines() if not line.startswith(_NOTES)]
            texts += said[-lines:]
    return "".join(f"{line}\n" for line in texts[-lines:])


def _on(node: str) -> dict[str, Any]:
    strategy = NodeAffinitySchedulingStrategy(node, soft=False)
    return {"num_cpus": 0, "max_retries": 0, "scheduling_strategy": strategy}
