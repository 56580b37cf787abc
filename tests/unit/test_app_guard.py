"""What stands before an app: tokens, and a limit of time."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from flyte_ray.apps.auth import KEEP_S, LONGEST, Guarded, Tokens
from flyte_ray.apps.timeouts import Timely
from flyte_ray.errors import StoreError
from flyte_ray.ledger.tokens import create_token, delete_token, find_token
from flyte_ray.storage import open_store


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answers with the names of the headers that it sees."""
    names = b",".join(name for name, _ in scope["headers"])
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": names})


def ask(guarded: Any, token: str | None = None, scheme: str = "Bearer") -> httpx.Response:
    async def asked() -> httpx.Response:
        headers = {"Authorization": f"{scheme} {token}"} if token else {}
        async with httpx.AsyncClient(transport=httpx.ASGITransport(guarded), base_url="http://app") as client:
            return await client.get("/", headers=headers)

    return asyncio.run(asked())


def make(root: Path, scope: str) -> str:
    return create_token(open_store(root), scope, [scope], random=os.urandom, at_us=1, by="me")[0]


def test_without_a_token_one_gets_401_and_with_the_wrong_scope_403(tmp_path: Path) -> None:
    right, wrong = make(tmp_path, "app:shop"), make(tmp_path, "app:other")
    guarded = Guarded(app, Tokens(partial(find_token, open_store(tmp_path))), lambda scope: "app:shop")
    refused = ask(guarded)
    assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
    assert refused.json() == {"detail": "A token is needed. Send 'Authorization: Bearer TOKEN'."}
    assert ask(guarded, right, "Basic").status_code == 401
    assert ask(guarded, "frt_0123456789ab_x").json()["detail"].startswith("The token is not known.")
    assert (ask(guarded, wrong).status_code, ask(guarded, wrong).json()["detail"]) == (
        403,
        "The token lacks the scope app:shop.",
    )
    assert ask(guarded, right).status_code == 200


def test_the_app_does_not_see_the_token(tmp_path: Path) -> None:
    guarded = Guarded(app, Tokens(partial(find_token, open_store(tmp_path))), lambda scope: "app:shop")
    assert "authorization" not in ask(guarded, make(tmp_path, "app:shop")).text


def test_a_deleted_token_is_refused_within_seconds(tmp_path: Path) -> None:
    now = [0.0]
    store = open_store(tmp_path)
    guarded = Guarded(app, Tokens(partial(find_token, store), lambda: now[0]), lambda scope: "app:shop")
    token = make(tmp_path, "app:shop")
    assert ask(guarded, token).status_code == 200
    delete_token(store, "app:shop")
    now[0] = KEEP_S + 1
    assert ask(guarded, token).status_code == 401


def test_a_store_that_does_not_answer_lets_nobody_in() -> None:
    def find(text: str) -> None:
        raise StoreError("away")

    assert ask(Guarded(app, Tokens(find), lambda scope: "app:shop"), "frt_0123456789ab_x").status_code == 503


def test_a_websocket_without_a_token_is_closed_before_it_is_accepted() -> None:
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    guarded = Guarded(app, Tokens(lambda text: None), lambda scope: "app:shop")
    asyncio.run(guarded({"type": "websocket", "headers": []}, receive, send))
    assert [(message["type"], message["code"]) for message in sent] == [("websocket.close", 1008)]


def test_what_does_not_begin_to_answer_in_time_gets_504_and_is_cancelled() -> None:
    ends: list[str] = []

    def waiting(begin: bool) -> Callable[..., Any]:
        async def slow(scope: Any, receive: Any, send: Any) -> None:
            try:
                if begin:
                    await send({"type": "http.response.start", "status": 200, "headers": []})
                await asyncio.sleep(0.3 if begin else 60)
                await send({"type": "http.response.body", "body": b"late"})
            except asyncio.CancelledError:
                ends.append("cancelled")
                raise

        return slow

    assert ask(Timely(app, 60)).status_code == 200
    assert ask(Timely(waiting(begin=True), 0.05)).text == "late"
    refused = ask(Timely(waiting(begin=False), 0.05))
    assert (refused.status_code, ends) == (504, ["cancelled"])
    assert refused.json() == {"detail": "The app did not begin to answer within 0.05 s."}


def test_what_is_too_long_for_a_token_is_neither_looked_up_nor_remembered() -> None:
    asked: list[str] = []
    tokens = Tokens(lambda text: asked.append(text))
    for text in ("x" * LONGEST, "y" * (LONGEST + 1)):
        assert asyncio.run(tokens.find(text)) is None
    assert asked == ["x" * LONGEST]
