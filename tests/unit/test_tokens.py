"""Tokens: made once, kept as digests, found in constant time."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from flyte_ray.errors import InvalidDeclaration, ObjectMissing
from flyte_ray.ledger.tokens import create_token, delete_token, find_token, list_tokens
from flyte_ray.storage import Store, open_store


def make(store: Store, name: str, *scopes: str, at_us: int = 1) -> str:
    return create_token(store, name, scopes, random=os.urandom, at_us=at_us, by="me@here")[0]


def test_a_token_is_found_by_its_text_and_lets_in_by_its_scopes(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    token = find_token(store, make(store, "mine", "app:shop", "api:write"))
    assert token is not None and token.name == "mine"
    assert [token.allows(scope) for scope in ("app:shop", "app:other", "api:write", "api:read")] == [
        True,
        False,
        True,
        True,
    ]
    reader = find_token(store, make(store, "reader", "api:read", "app:*"))
    assert reader is not None
    assert [reader.allows(scope) for scope in ("app:shop", "api:write", "api:read")] == [True, False, True]


def test_the_store_does_not_hold_what_a_token_is(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    text = make(store, "mine", "app:shop")
    secret = text.rpartition("_")[2]
    assert len(secret) == 64
    held = [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    assert held and not any(secret in each for each in held)


@pytest.mark.parametrize("text", ["", "frt", "frt_", "frt_0_1", "frt_../../x_1", "x_0123456789ab_1"])
def test_what_is_no_token_is_not_found(text: str, tmp_path: Path) -> None:
    store = open_store(tmp_path)
    good = make(store, "mine", "app:shop")
    assert find_token(store, text) is None
    assert find_token(store, f"{good[:-1]}{'1' if good[-1] == '0' else '0'}") is None


def test_a_deleted_token_is_of_no_use(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    text = make(store, "mine", "app:shop")
    make(store, "other", "app:shop", at_us=2)
    assert [token.name for token in list_tokens(store)] == ["other", "mine"]
    assert delete_token(store, "mine").name == "mine"
    assert find_token(store, text) is None
    assert [token.name for token in list_tokens(store)] == ["other"]
    with pytest.raises(ObjectMissing, match="Expected the id or the name of one token, got 'mine', which none of"):
        delete_token(store, "mine")


def test_a_name_that_two_tokens_have_names_neither(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    make(store, "same", "app:a")
    make(store, "same", "app:b")
    with pytest.raises(ObjectMissing, match="got 'same', which 2 of 2 have"):
        delete_token(store, "same")
    delete_token(store, list_tokens(store)[0].id)
    assert len(list_tokens(store)) == 1


@pytest.mark.parametrize("scopes", [[], ["app"], ["api:delete"], ["app:under_score"], ["app:"]])
def test_a_scope_that_does_not_exist_is_refused(scopes: list[str], tmp_path: Path) -> None:
    with pytest.raises(InvalidDeclaration, match="app:NAME, app:\\*, api:read or api:write, got|must have a scope"):
        make(open_store(tmp_path), "mine", *scopes)
