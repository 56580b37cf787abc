"""Make the actors of a root, from a process of our own where they are to outlast their first user.

An actor belongs to the Ray job that made it, and so do the slots it starts: they get that job's `sys.path` and
variables, and once its driver has left, Ray keeps no idle processes for it, so that every slot waits about a second for
a new one. So a process on the head node, which no user's script is behind, makes the actors and stays as long as they.

Invariants: storage options travel through a pipe, never by arguments or variables, where other people see them; the
process ends with the ledger actor and with its node's Ray.
"""

from __future__ import annotations

import os
import pickle
import select
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from flyte_ray.cluster.names import NAMESPACE, launcher_name, ledger_name
from flyte_ray.cluster.package import arriving, arriving_actor, send_package
from flyte_ray.errors import ClusterError
from flyte_ray.ledger.origin import is_running
from flyte_ray.storage.providers import Options

READY_S: Final = 15.0
"""How long the actors may take before the user's own process makes them."""
WATCH_S: Final = 1.0
"""Time between two looks at the node's Ray."""
ASK_S: Final = 10.0
"""Time between two questions whether the ledger actor is there."""
_READY: Final = b"ready\n"
# What Ray tells one worker about itself; a driver that inherits it takes itself for that worker.
_OF_ONE_WORKER: Final = ("RAY_JOB_ID", "RAY_JOB_CONFIG_JSON_ENV_VAR", "RAY_RUNTIME_ENV_HOOK", "RAY_CLIENT_MODE")


def make_actors(root: str, storage: Options, *, lasting: bool) -> tuple[Any, Any]:
    """Return the handles of a root's launcher and ledger, made on the connected cluster unless it has them.

    Args:
        root: Its URI.
        storage: fsspec arguments by protocol; they travel to the actors and are never recorded.
        lasting: The actors outlive this process; the others end with their last handle.

    """
    import ray  # half a second; only what runs on Ray pays it

    from flyte_ray.cluster.ledger_actor import LedgerActor

    launcher = make_launcher(root, storage, lasting=lasting)
    # It is to be the older one, which Ray ends last for lack of memory.
    ray.get(launcher.alive.remote())
    holder = f"ray:{ray.get_runtime_context().gcs_address}:{uuid.uuid4().hex[:8]}"
    ledger = (
        ray.remote(arriving_actor(LedgerActor))
        .options(**_placed(lasting), name=ledger_name(root), max_restarts=-1, max_task_retries=-1)
        .remote(send_package(), root, storage, launcher_name(root), holder, lasting)
    )
    ray.get(ledger.ping.remote())
    return launcher, ledger


def make_launcher(root: str, storage: Options, *, lasting: bool) -> Any:
    """Return the handle of a root's launcher, made unless the cluster has it; arguments as of `make_actors`.

    The ledger does so too when the launcher has died. It then belongs to the ledger's job, as the first one did.
    """
    import ray  # see make_actors

    from flyte_ray.cluster.launcher import Launcher

    program = send_package()
    actor = ray.remote(arriving_actor(Launcher)).options(**_placed(lasting), name=launcher_name(root), max_restarts=0)
    return actor.remote(program, program, ledger_name(root), root, storage)


def _placed(lasting: bool) -> dict[str, Any]:
    return {
        "namespace": NAMESPACE,
        "get_if_exists": True,
        "num_cpus": 0,
        "lifetime": "detached" if lasting else None,
        "scheduling_strategy": on_head(),
        "max_concurrency": 10_000,
    }


def bootstrap(root: str, storage: Options) -> str:
    """Have a root's lasting actors made by a process on the head node, within `READY_S`.

    Returns:
        Why it did not work, for people; empty if the actors are there.

    Raises:
        ClusterError: The head node lacks what this package needs.

    """
    import ray  # see make_actors

    options: dict[str, Any] = {"num_cpus": 0, "max_retries": 0, "scheduling_strategy": on_head()}
    entry = ray.remote(arriving(start_holder.__module__, start_holder.__name__))
    entry = entry.options(**options, name="flyte-ray bootstrap")
    ref = entry.remote(send_package(), root, storage, ray.get_runtime_context().gcs_address)
    try:
        return str(ray.get(ref, timeout=READY_S))
    except ray.exceptions.RayError as error:
        if isinstance(getattr(error, "cause", None), ImportError):
            raise ClusterError(str(error.cause)) from None
        ray.cancel(ref, force=True)
        return f"{type(error).__name__}: {error}"


def start_holder(root: str, storage: Options, address: str) -> str:
    """Start the process that makes and holds the actors, from a Ray worker; return why it failed, empty if it did not.

    The process leaves the worker's process group and parent, which Ray ends with the worker.
    """
    package = Path(__file__).parents[2]
    installed = package.name in ("site-packages", "dist-packages")
    # Ray puts the folder where a driver stands on the path of its slots: ours if the package lies in no installed
    # place, else an empty one.
    folder = tempfile.mkdtemp(prefix="flyte-ray-holder-") if installed else str(package)
    environ = of_no_worker(os.environ)
    environ["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] = "0"  # else a driver under `uv run` would hand its folder to all slots
    process = subprocess.Popen(
        [sys.executable, "-m", "flyte_ray.cluster.bootstrap", root],
        cwd=folder,
        env=environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert process.stdin is not None and process.stdout is not None
    raylet = int(os.environ.get("RAY_RAYLET_PID") or os.getppid())
    process.stdin.write(pickle.dumps({"address": address, "storage": storage, "raylet": raylet}))
    process.stdin.close()
    process.wait()
    with process.stdout as answer:
        readable, _, _ = select.select([answer], [], [], READY_S)
        said = answer.readline() if readable else b"it did not answer in time"
    return "" if said == _READY else (said.decode(errors="replace").strip() or "it ended without a word")


def of_no_worker(variables: Mapping[str, str]) -> dict[str, str]:
    """Return variables without what Ray tells one worker about itself."""
    return {name: value for name, value in variables.items() if name not in _OF_ONE_WORKER}


def hold(root: str) -> None:
    """Make a root's actors and stay until the ledger actor is gone or this node's Ray has ended.

    What to connect to comes by standard input; `ready` or the reason why not goes to standard output, once.
    """
    if os.fork():
        os._exit(0)  # the child now has no parent that Ray knows
    os.setsid()
    given = pickle.load(sys.stdin.buffer)
    import ray  # after the fork: it starts threads

    try:
        ray.init(address=given["address"], namespace=NAMESPACE, log_to_driver=False, configure_logging=False)
        kept = make_actors(root, given["storage"], lasting=True)
    except Exception as error:
        _say(f"{type(error).__name__}: {error}".replace("\n", " ").encode() + b"\n")
        os._exit(1)
    _say(_READY)
    ledger = kept[1]._ray_actor_id
    del kept, given["storage"]
    gone = threading.Event()
    # On a thread of its own: where Ray has just ended, the question waits for it for a minute.
    threading.Thread(target=_await_end, args=(root, ledger, gone), daemon=True).start()
    while is_running(given["raylet"]):
        if gone.wait(WATCH_S):
            ray.shutdown()
            return
    os._exit(0)  # Ray is gone: to leave it politely would wait for it


def _await_end(root: str, ledger: Any, gone: threading.Event) -> None:
    import ray  # see make_actors

    found: Any = None
    while found is None or found._ray_actor_id == ledger:
        time.sleep(ASK_S)
        try:
            found = ray.get_actor(ledger_name(root), NAMESPACE)
        except ValueError:
            break
    gone.set()


def _say(line: bytes) -> None:
    os.write(1, line)
    # Whoever reads must see the end, and Ray's own output must have somewhere to go.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def on_head() -> Any:
    """Return the strategy that places something on the head node."""
    import ray  # see make_actors
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    # Not soft: what asks for no CPUs, as an actor of ours, is then put on any node at random.
    alive = [node for node in ray.nodes() if node["Alive"]]
    heads = [node for node in alive if "node:__internal_head__" in node["Resources"]]
    return NodeAffinitySchedulingStrategy(str((heads or alive)[0]["NodeID"]), soft=False)


if __name__ == "__main__":
    hold(sys.argv[1])
