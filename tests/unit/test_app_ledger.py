"""What a root's ledger makes of its apps when it starts; Ray's tasks are replaced."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from flyte_ray.cluster import app_ledger
from flyte_ray.ledger.apps import AppRecord, add_revision
from flyte_ray.storage import open_store

SHOP = AppRecord("shop", 0, "v1", "active", 5, "me", "/apps/shop", "asgi", {}, None, {}, {})


def test_what_is_served_but_not_wanted_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, applied = open_store(tmp_path), []
    add_revision(store, SHOP)
    add_revision(store, dataclasses.replace(SHOP, name="off", state="deactivated"))
    add_revision(store, dataclasses.replace(SHOP, name="of-a-command", lasting=False))
    here = dict.fromkeys(("shop", "off", "of-a-command", "deleted"), store.uri)
    roots = {**here, "of another root": "elsewhere"}

    def in_task(function: str, *args: Any, **options: Any) -> Any:
        if function == "states":
            return {name: {"root": root} for name, root in roots.items()}
        applied.append(args[-1])
        return ""

    monkeypatch.setattr(app_ledger, "FIRST_LOOK_S", 0)
    monkeypatch.setattr(app_ledger, "send_package", bytes)
    monkeypatch.setattr(app_ledger, "serve_runs", lambda: True)
    monkeypatch.setattr(app_ledger, "_in_task", in_task)
    app_ledger.AppLedger(store).restore()
    assert applied == ["shop", "deleted", "off"]
