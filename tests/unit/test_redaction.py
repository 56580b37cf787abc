"""What is kept out of texts and values while secrets are held."""

from __future__ import annotations

import base64
import html
import io
import json
import os
import subprocess
import sys
import urllib.parse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyte_ray.errors import NonRecoverableError
from flyte_ray.runtime.printed import Printed
from flyte_ray.runtime.redaction import holding, looked, redact, redact_cut, redact_json, refuse, tail_of, too_short

KEY = 'p@ss/"w<ö>rd+1'
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@given(before=texts, after=texts)
def test_every_usual_writing_of_a_secret_is_masked(before: str, after: str) -> None:
    raw = KEY.encode()
    writings = [KEY, repr(KEY), json.dumps(KEY), json.dumps(KEY, ensure_ascii=False), urllib.parse.quote(KEY)]
    writings += [urllib.parse.quote_plus(KEY), html.escape(KEY), raw.hex()]
    with holding({"key": raw}):
        for writing in writings:
            assert writing.strip("\"'") not in redact(f"{before}{writing}{after}")
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            text = encode(f"{before}{KEY}{after}".encode()).decode()
            assert "***" in redact(text)
            assert len(redact(text)) <= len(text) - len(KEY) + len("***")


def test_what_is_not_held_is_not_looked_for() -> None:
    with holding({"key": b"hunter2!"}):
        with holding({"key": b"hunter2!"}):
            pass
        assert redact("hunter2!") == "***"
    assert redact("hunter2!") == "hunter2!"
    refuse("hunter2!", "a value")


def test_a_value_is_refused_by_the_name_of_its_secret() -> None:
    with holding({"db/key": b"hunter2!"}), pytest.raises(NonRecoverableError) as refused:
        refuse('{"a":"xhunter2!x"}', "what task f returns")
    assert "What task f returns must not hold a secret" in str(refused.value) and "'db/key'" in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_short_secrets_are_named_and_not_looked_for() -> None:
    with holding({"pin": b"123"}):
        assert redact("0123") == "0123"
    assert too_short({"pin": b"123", "key": b"1234"}) == ["pin"]


def test_each_line_of_a_long_secret_is_masked() -> None:
    with holding({"pem": b"-----BEGIN KEY-----\nMIIEowIBAAKCAQEA\nshort\n-----END KEY-----\n"}):
        assert redact("line MIIEowIBAAKCAQEA of it, short") == "line *** of it, short"
        refuse("-----BEGIN KEY-----\nanother\n-----END KEY-----\n", "another key")


def test_a_secret_that_is_written_in_pieces_to_a_file_is_found() -> None:
    with holding({"key": b"hunter2!"}):
        file = looked(io.BytesIO(), "a table")
        file.write(b"xxhunt")
        with pytest.raises(NonRecoverableError, match="A table must not hold"):
            file.write(memoryview(b"er2!"))


def test_what_is_printed_letter_by_letter_is_masked_also_over_two_looks() -> None:
    with holding({"key": b"hunter2!"}):
        printed = Printed(0.0)
        printed.pieces.extend("a hunt")
        assert printed.take(1.0) == (0, "a ")
        printed.pieces.extend("er2! b")
        assert printed.take(2.0) == (2, "*** b")
        printed.pieces.extend("hun")
        assert printed.end() == (7, "hun")
        assert tail_of("x hunter2") == 7


def test_what_a_message_has_cut_of_a_secret_is_masked() -> None:
    long = 'a"' + "0123456789" * 9
    with holding({"key": long.encode()}):
        assert redact_cut(f"got str {long!r:.80}. Pass a number.") == "got str '***. Pass a number."
        assert redact_cut(json.dumps(long)[:60] + "…") == '"***…'
        assert redact_cut(long[:15] + " is too little") == long[:15] + " is too little"


def test_a_number_that_is_a_secret_leaves_json_that_can_be_read() -> None:
    raw = {"n": 12345678, "list": [True, None, 1.5, "x12345678"], "12345678": {}}
    with holding({"pin": b"12345678"}):
        assert redact_json(raw) == {"n": "***", "list": [True, None, 1.5, "x***"], "***": {}}
    assert redact_json(raw) is raw


@given(st.text("ab", max_size=12), st.text("ab", min_size=4, max_size=8))
def test_the_longest_begin_of_a_secret_at_a_texts_end_is_held_back(text: str, key: str) -> None:
    begins = [size for size in range(len(key)) if text.endswith(key[:size])]
    with holding({"key": key.encode()}):
        assert tail_of(text) == max(begins)


def test_a_process_that_holds_secrets_writes_none_to_its_descriptors() -> None:
    code = """
import os, subprocess, sys
from flyte_ray.runtime.pump import drain, stand_before
from flyte_ray.runtime.redaction import hold
hold({"key": b"hunter2!"})
stand_before((1, 2))
for letter in b"a hunter2! b\\n":
    os.write(1, bytes([letter]))
os.write(2, b"x" * 200_000 + b"hunter2!\\n")
subprocess.run(["echo", "hunter2!"], check=True)
os.write(1, b"hun")
drain()
os._exit(0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=dict(os.environ), timeout=60)
    assert done.stdout == b"a *** b\n***\nhun"
    assert done.stderr == b"x" * 200_000 + b"***\n"
