"""Pickles are signed, and nothing is loaded that is not signed with the right key."""

from __future__ import annotations

import base64
import copy
import os
import pickle
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from flyte_ray.errors import InvalidDeclaration, PickleRefusedError
from flyte_ray.runtime.keys import own_pickling
from flyte_ray.types.digest import signers
from flyte_ray.types.form import CannotStoreError
from flyte_ray.types.signing import Key, Pickling

MINE, THEIRS = Pickling(Key(b"my own secret key")), Pickling(Key(b"a secret of others"))
DATA = pickle.dumps({"a": 1})


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("FLYTE_RAY_KEY", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_a_signed_pickle_comes_back() -> None:
    assert MINE.unpack(MINE.pack(DATA)) == DATA


def test_a_pickle_of_another_key_names_both_and_what_to_do() -> None:
    assert MINE.key and THEIRS.key
    with pytest.raises(PickleRefusedError) as caught:
        MINE.unpack(THEIRS.pack(DATA))
    assert f"signed with key {THEIRS.key.id}, and this process has key {MINE.key.id}" in str(caught.value)
    assert "set FLYTE_RAY_KEY to that key" in str(caught.value)


def test_without_a_key_nothing_signed_is_loaded_and_nothing_written() -> None:
    with pytest.raises(PickleRefusedError, match="signed with key [0-9a-f]{16}, and this process has no key"):
        Pickling().unpack(MINE.pack(DATA))
    with pytest.raises(CannotStoreError, match="those of type object can only be pickled, but a pickle is signed"):
        Pickling().require(object)


@pytest.mark.parametrize("at", range(0, 200, 7))
def test_a_pickle_that_was_changed_is_refused(at: int) -> None:
    text = MINE.pack(DATA)
    at %= len(text)
    changed = f"{text[:at]}{'0' if text[at] != '0' else '1'}{text[at + 1 :]}"
    with pytest.raises(PickleRefusedError):
        MINE.unpack(changed)


def test_a_pickle_without_a_signature_is_loaded_on_request_only() -> None:
    unsigned = base64.b64encode(DATA).decode()
    with pytest.raises(PickleRefusedError, match="without a signature.+pickles='accept_unsigned'"):
        MINE.unpack(unsigned)
    accepting = Pickling(MINE.key, accept_unsigned=True)
    assert accepting.unpack(unsigned) == DATA
    with pytest.raises(PickleRefusedError, match="signed with key"):
        accepting.unpack(THEIRS.pack(DATA))


def test_pickles_that_are_turned_off_are_neither_written_nor_loaded() -> None:
    off = MINE.under("refuse")
    with pytest.raises(PickleRefusedError, match="pickles='refuse'"):
        off.unpack(MINE.pack(DATA))
    with pytest.raises(CannotStoreError, match="type Path can only.+pickles='refuse'.+TypeEngine.register"):
        off.require(Path)
    assert not MINE.under("sign").is_off


def test_a_key_that_can_be_guessed_is_refused() -> None:
    with pytest.raises(InvalidDeclaration, match="at least 16 bytes, got 3.+openssl"):
        Key(b"abc")


def test_a_key_shows_in_no_text() -> None:
    again = copy.deepcopy(pickle.loads(pickle.dumps(MINE)))
    assert again == MINE
    assert "my own" not in f"{MINE} {MINE.key} {MINE.sign(DATA)}"


def test_the_signers_of_a_stored_form_are_found_wherever_they_stand() -> None:
    assert MINE.key and THEIRS.key
    raw = [{"a": {"$pickle": MINE.pack(DATA)}}, {"$pickle": {"uri": "x", "bytes": 3, "signed": THEIRS.sign(DATA)}}]
    assert signers(raw) == {MINE.key.id, THEIRS.key.id}
    assert signers({"$json": {"uri": "x", "pickled": [MINE.key.id]}}) == {MINE.key.id}
    old = [{"$pickle": "gAR9lC4="}, {"$pickle": {"uri": "x", "bytes": 3}}, {"$json": {"uri": "x", "pickled": True}}]
    assert [signers(part) for part in old] == [{""}, {""}, {""}]
    assert signers({"$json": {"uri": "x"}, "b": [1, "$pickle"]}) == set()


def test_a_user_gets_a_key_that_is_his_alone(home: Path) -> None:
    assert own_pickling().key is None
    assert not list(home.iterdir())
    made = own_pickling(make=True).key
    assert made and own_pickling().key == made
    (file,) = (home / ".flyte-ray").iterdir()
    assert file.name == "key" and stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_key_that_others_can_read_is_not_used(home: Path) -> None:
    own_pickling(make=True)
    (home / ".flyte-ray/key").chmod(0o640)
    with pytest.raises(InvalidDeclaration, match="should be yours alone, got owner .+ mode 640.+chmod 600"):
        own_pickling()


def test_the_variable_comes_before_the_file(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own_pickling(make=True)
    monkeypatch.setenv("FLYTE_RAY_KEY", "my own secret key\n")
    assert own_pickling().key == MINE.key


def test_a_home_that_cannot_be_written_gives_no_key_and_says_so(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "file").touch()
    monkeypatch.setenv("HOME", str(home / "file"))
    found = own_pickling(make=True)
    assert found.key is None and "key cannot be made or read (Not a directory)" in found.hindrance


def test_processes_that_begin_together_get_one_key(home: Path) -> None:
    code = "import sys; sys.stdin.readline(); from flyte_ray.runtime.keys import own_pickling as own;"
    code += " print(own(make=True).key.id)"
    starting = [
        subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=dict(os.environ)
        )
        for _ in range(4)
    ]
    for process in starting:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    assert len({process.communicate()[0] for process in starting}) == 1
    assert [file.name for file in (home / ".flyte-ray").iterdir()] == ["key"]


@pytest.mark.parametrize("given", ["never", "SIGN"])
def test_a_policy_that_does_not_exist_is_refused(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidDeclaration, match="pickles must be one of 'sign', 'refuse', 'accept_unsigned', got"):
        own_pickling(given)
    monkeypatch.setenv("FLYTE_RAY_PICKLES", given)
    with pytest.raises(InvalidDeclaration, match="FLYTE_RAY_PICKLES must be one of"):
        own_pickling()
