"""Where secrets come from, and how the root keeps them."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from pathlib import Path

import pytest
from hypothesis import given as given_any
from hypothesis import strategies as st

from flyte_ray.errors import InvalidDeclaration, ObjectMissing
from flyte_ray.ledger.paths import secret_key
from flyte_ray.ledger.secrets import MAX_BYTES, delete_secret, list_secrets, put_secret, read_secret
from flyte_ray.runtime import given_secrets
from flyte_ray.runtime.given_secrets import given
from flyte_ray.runtime.secret_sources import find_secrets, parse_env, why_missing
from flyte_ray.spec.secret import Secret, dump_secrets, load_secrets
from flyte_ray.storage import Store, open_store

KEY, OTHER = b"a key of sixteen", b"another key of sixteen"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FLYTE_RAY_SECRETS_KEY", KEY.decode())
    monkeypatch.setenv("FLYTE_RAY_SECRETS_DIR", str(tmp_path / "files"))
    return open_store(tmp_path / "root")


def keep(store: Store, name: str, value: bytes, key: bytes = KEY) -> None:
    put_secret(store, name, value, key, random=os.urandom, at_us=1, by="me@here")


def test_a_secret_is_looked_for_in_variables_then_env_file_then_folder_then_root(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = Secret("api-key", group="db", as_env_var="TOKEN")
    assert find_secrets([secret], store)[1][0].secret == secret
    keep(store, "db/api-key", b"of the root")
    places = [lambda: find_secrets([secret], store)[0]["db/api-key"]]
    assert places[0]() == b"of the root"
    (tmp_path / "files" / "db").mkdir(parents=True)
    (tmp_path / "files" / "db" / "api-key").write_bytes(b"of the folder")
    assert places[0]() == b"of the folder"
    (tmp_path / ".env").write_text("DB_API_KEY=of the file\n")
    assert places[0]() == b"of the file"
    monkeypatch.setenv("DB_API_KEY", "of the usual variable")
    assert places[0]() == b"of the usual variable"
    monkeypatch.setenv("TOKEN", "of its own variable")
    assert places[0]() == b"of its own variable"


def test_what_is_missing_is_named_with_every_place(store: Store, tmp_path: Path) -> None:
    _, missing = find_secrets([Secret("api-key")], store)
    said = why_missing("Environment 'e'", missing[0])
    for part in ("Environment 'e'", "'api-key'", "API_KEY", str(tmp_path / ".env"), "files/api-key", store.uri):
        assert part in said


def test_the_root_holds_ciphertext_that_only_its_key_and_name_open(store: Store) -> None:
    keep(store, "api-key", b"hunter2!")
    raw = store.get(secret_key("api-key"))
    assert b"hunter2!" not in raw and read_secret(store, "api-key", KEY) == b"hunter2!"
    assert [each.name for each in list_secrets(store)] == ["api-key"]
    with pytest.raises(InvalidDeclaration, match="must be read with the key"):
        read_secret(store, "api-key", OTHER)
    with pytest.raises(InvalidDeclaration, match="has none"):
        read_secret(store, "api-key", None)
    store.put(secret_key("other"), json.dumps({**json.loads(raw), "name": "other"}).encode())
    with pytest.raises(InvalidDeclaration, match="was changed since"):
        read_secret(store, "other", KEY)
    delete_secret(store, "api-key")
    with pytest.raises(ObjectMissing, match="got 'api-key'"):
        delete_secret(store, "api-key")


@pytest.mark.parametrize("name", ["../x", "a/b/c", "", "/x", "a b", "x/..", "%2e", "a\n"])
def test_names_that_would_leave_their_place_are_refused(store: Store, name: str) -> None:
    with pytest.raises(InvalidDeclaration):
        keep(store, name, b"hunter2!")


def test_what_would_travel_outside_of_a_message_is_refused(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidDeclaration, match=f"1 to {MAX_BYTES} bytes"):
        keep(store, "large", b"x" * (MAX_BYTES + 1))
    monkeypatch.setenv("ONE", "x" * MAX_BYTES)
    monkeypatch.setenv("TWO", "xxxx")
    with pytest.raises(InvalidDeclaration, match="together"):
        find_secrets([Secret("one"), Secret("two")], store)


def test_an_env_file_is_read_as_people_write_them() -> None:
    text = "\n".join(
        ["# keys", "", "A=1", "export B = two # why", "C='x # \\n y'", 'D="a\\n\\"b\\""', 'E="one', 'two"', "F="]
    )
    assert parse_env(text, ".env") == {"A": "1", "B": "two", "C": "x # \\n y", "D": 'a\n"b"', "E": "one\ntwo", "F": ""}
    with pytest.raises(InvalidDeclaration, match=r"Line 2 of \.env must be NAME=value") as refused:
        parse_env("A=1\nhunter2!", ".env")
    assert "hunter2" not in str(refused.value)


@given_any(st.text())
def test_any_env_file_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(InvalidDeclaration):
        parse_env(text, ".env")


def test_files_have_mode_0600_and_go_with_the_last_who_needs_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(given_secrets, "MOUNT_PATH", tmp_path / "mount")
    secret = Secret("cert", group="db", mount=Path("/etc/flyte/secrets"))
    path = tmp_path / "mount" / "db" / "cert"
    with given([secret], {"db/cert": b"one"}):
        with given([secret], {"db/cert": b"one"}):
            assert path.read_bytes() == b"one" and path.stat().st_mode & 0o777 == 0o600
        assert path.exists()
        with (
            pytest.raises(RuntimeError, match="another run has it with another value"),
            given([secret], {"db/cert": b"two"}),
        ):
            pass
        assert path.read_bytes() == b"one"
    assert not path.exists()
    path.write_bytes(b"left by one that was killed")
    with given([secret], {"db/cert": b"two"}):
        assert path.read_bytes() == b"two"


def test_a_file_that_was_just_removed_by_who_left_is_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(given_secrets, "MOUNT_PATH", tmp_path)
    secret, path, lock = Secret("cert", mount=Path("/etc/flyte/secrets")), tmp_path / "cert", fcntl.flock
    leaving = os.open(tmp_path / ".cert.lock", os.O_RDWR | os.O_CREAT)
    lock(leaving, fcntl.LOCK_EX)

    def leave_first(file: int, how: int) -> None:
        if how == fcntl.LOCK_SH:
            lock(leaving, fcntl.LOCK_UN)
        lock(file, how)

    monkeypatch.setattr(fcntl, "flock", leave_first)
    with given([secret], {"cert": b"mine"}):
        assert path.read_bytes() == b"mine"
    assert not path.exists()
    os.close(leaving)


def test_a_file_that_the_nodes_owner_has_put_there_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(given_secrets, "MOUNT_PATH", tmp_path)
    (tmp_path / "cert").write_bytes(b"theirs")
    secret = Secret("cert", mount=Path("/etc/flyte/secrets"))
    with given([secret], {"cert": b"theirs"}):
        pass
    with pytest.raises(RuntimeError, match="not ours"), given([secret], {"cert": b"mine"}):
        pass
    assert (tmp_path / "cert").read_bytes() == b"theirs"


def test_variables_are_put_back_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A", "before")
    with given([Secret("a"), Secret("b")], {"a": b"during\n", "b": b"x"}):
        assert (os.environ["A"], os.environ["B"]) == ("during", "x")
    assert os.environ["A"] == "before" and "B" not in os.environ
    with pytest.raises(RuntimeError, match="zero byte"), given([Secret("a")], {"a": b"\0"}):
        pass


def test_what_travels_of_a_secret_is_how_it_is_wanted() -> None:
    secrets = [Secret("b", group="g"), Secret("a", mount=Path("/etc/flyte/secrets")), Secret("c", as_env_var="X")]
    assert {*load_secrets(dump_secrets(secrets))} == {*secrets}
    assert dump_secrets(secrets) == dump_secrets(reversed(secrets)) and load_secrets(None) == ()
