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
from flyte_ray.runtime.redaction import holding, looked, redact, refuse, tail_of, too_short

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
