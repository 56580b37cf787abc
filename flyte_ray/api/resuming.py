"""Continue runs that were cut off, failed or were aborted: with the code they began with, or with today's."""

from __future__ import annotations

from typing import Any

from flyte_ray.api.asked_secrets import asked_again
from flyte_ray.api.cutoff import announce_wait, name_cut_off
from flyte_ray.api.interrupting import saying_how_to_go_on
from flyte_ray.api.reachable import inclusions_of
from flyte_ray.api.revising import Plan
from flyte_ray.api.settings import current_pickling, settings
from flyte_ray.cluster.bundle import CopyStyle
from flyte_ray.cluster.code import send_code, unpack_code
from flyte_ray.cluster.options import BUNDLE_VAR
from flyte_ray.cluster.session import connect, ensure_ledger, has_cluster
from flyte_ray.cluster.shaping import shaping_of
from flyte_ray.errors import ClusterError
from flyte_ray.ledger.lease import drop_claim
from flyte_ray.ledger.messages import read_ref
from flyte_ray.ledger.query import load_spec, load_state
from flyte_ray.ledger.recovering import find_gone
from flyte_ray.ledger.revision import Revision
from flyte_ray.runtime.catalog import Catalog
from flyte_ray.runtime.deployed import code_of
from flyte_ray.runtime.local import LocalRun
from flyte_ray.spec.ids import RunId
from flyte_ray.storage import Store
from flyte_ray.types.signing import Pickling


def resume_run(
    store: Store, run: RunId, *, local: bool = False, take_over: bool = False, lasting: bool = True, plan: Plan | None
) -> None:
    """Continue a run: what succeeded is answered from its record, what failed or was aborted is tried again.

    What succeeded and is needed runs again, too, if its values were removed from the store.

    Args:
        store: Its root.
        run: Its name.
        local: In this process, whatever it ran on before; returns when the run has ended.
        take_over: Do not wait for the ledger that holds it.
        lasting: The cluster outlives this process.
        plan: How it goes on with today's code; None for the code that it used last.

    Raises:
        RunNotFoundError: The root holds no such run.
        RunFencedError: Another ledger holds it and is alive.
        ClusterError: It ran on a cluster, and there is none.

    """
    spec, state = load_spec(store, run), load_state(store, run)
    pickling = current_pickling(make=True).under(spec.get("pickles"))
    if plan is None and state.actions and state.root.has_succeeded and not find_gone(store, spec, state, None):
        drop_claim(store, run)
        return
    if plan is not None and not plan.goes_on:
        return
    is_local = local or spec["mode"] == "local"
    refs = [read_ref(state.tasks[each.task]) for each in state.actions.values() if not each.has_succeeded]
    asked = asked_again(run, spec, refs, store, plan.root if plan else None)
    if is_local or not lasting:
        name_cut_off(store, run)
    if is_local:
        if not take_over:
            announce_wait(store, run)
        own = state.code or spec["code"]
        for ref in map(read_ref, state.tasks.values()):
            if code_of(ref, BUNDLE_VAR) != own:
                unpack_code(store, code_of(ref, BUNDLE_VAR))  # a deployed task, which may be queued before its caller
        if plan is None:
            unpack_code(store, own)
        revise = (lambda catalog: _revise(store, spec, plan, pickling, catalog)) if plan else None
        with saying_how_to_go_on(run):
            LocalRun(store, run, pickling, asked=asked).resume(spec, take_over=take_over, revise=revise)
        return
    if not has_cluster(settings.address):
        raise ClusterError(
            f"Run {run!r} ran on a Ray cluster and should go on on one, but this process is not connected to any. Call"
            f" ray.init() or flyte.init(address=...) first, or use 'flyte-ray resume {run}'."
        )
    connect(settings.address)
    from flyte_ray.cluster.client import LedgerClient  # imports ray, which is connected by now

    revision = _revise(store, spec, plan, pickling) if plan else None
    client = LedgerClient(store, ensure_ledger(store, lasting=lasting), pickling)
    if lasting and not take_over and client.look(run) is None:  # before a Ray of one's own is started it was said
        announce_wait(store, run)
    client.lend_secrets(run, spec["nonce"], asked.values)
    client.resume(run, take_over=take_over, revision=revision)


def _revise(
    store: Store, spec: dict[str, Any], plan: Plan, pickling: Pickling, catalog: Catalog | None = None
) -> Revision:
    """Send today's code, and name the root's task as slots find it there: those of the cluster, without a catalog."""
    style: CopyStyle = spec.get("copy_style") or "loaded_modules"
    include = inclusions_of(plan.root, spec.get("include") or ())
    code = send_code(store, plan.root, style, include, settings.root_dir)
    ref = catalog.know(plan.root).ref if catalog else None
    shaping = shaping_of(code, spec)
    return Revision(code, ref or Catalog(shaping, pickling).refer(plan.root), plan.changes)
