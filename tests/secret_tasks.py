"""Tasks that are given secrets, and let them out in as many ways as people do."""

from __future__ import annotations

import base64
import logging
import os
import subprocess
import sys
from pathlib import Path

import flyte_ray as flyte
from flyte_ray.cluster.shaping import shaping_of
from flyte_ray.io import File
from flyte_ray.runtime.catalog import Catalog
from flyte_ray.types.signing import Pickling

keyed = flyte.TaskEnvironment(name="keyed", secrets=[flyte.Secret("api-key"), flyte.Secret("cert", group="db")])
named = flyte.TaskEnvironment(name="named", secrets=flyte.Secret("api-key", as_env_var="TOKEN"))
plain = flyte.TaskEnvironment(name="plain")
WAYS = ("succeed", "raise", "return", "pass on", "trace")


@flyte.trace
def step(given: str) -> str:
    return given if given.startswith("give") else str(len(given))


@plain.task
def taken(text: str) -> str:
    return text


@keyed.task(report=True)
def let_out(how: str) -> str:
    key = os.environ["API_KEY"]
    print("printed", key)
    print("complained", key, file=sys.stderr)
    flyte.logger.warning("said %s", key)
    logging.getLogger("a library's").error("warned %s", key)
    for letter in key:
        sys.stdout.write(letter)
    print()
    print(base64.b64encode(f"user:{key}".encode()).decode(), repr(key))
    print(os.environ["DB_CERT"])
    if os.environ.get("FLYTE_RAY_BUNDLE"):  # in local mode these go to the terminal of who has the secret
        os.write(1, f"written {key}\n".encode())
        subprocess.run(["sh", "-c", 'echo "echoed $API_KEY"; env >&2'], check=True)
    step(key)
    flyte.report.log(f"<b>{key}</b>")
    if how == "raise":
        raise ValueError(f"refused {key}", {"key": key})
    if how == "pass on":
        return taken(f"with {key}")
    if how == "trace":
        return step(f"give {key}")
    return f"the key is {key}" if how == "return" else str(len(key))


@named.task
def other_name() -> int:
    return len(os.environ["TOKEN"])


@plain.task
def without() -> str:
    return f"{'API_KEY' in os.environ} {'TOKEN' in os.environ}"


@plain.task
def all_ways(ways: list[str]) -> list[str]:
    told = []
    for how in ways:
        try:
            told.append(let_out(how))
        except Exception as error:
            told.append(str(error))
    return [*told, str(other_name()), without()]


@keyed.task
def wait_and_count(go: str) -> str:
    Path(f"{go}.waits").touch()
    if not Path(go).exists():
        raise RuntimeError("not yet")
    return os.environ["API_KEY"][:3]


@flyte.trace
def remainder(number: int) -> int:
    return number % 7


@plain.task
def counted(number: int) -> int:
    return number


@plain.task
def read(file: File) -> int:
    return len(file.path)


@keyed.task(retries=1)
def odd_ways(how: str) -> int:
    key = os.environ["API_KEY"]
    if how == "the code of an error":
        raise flyte.errors.NonRecoverableError("no", key)
    if how == "the name of a group":
        with flyte.group(key):
            return remainder(1)
    if how == "a value of a wrong class":
        return counted(key)  # type: ignore[arg-type]
    if how == "the variables of a task":
        return len(Catalog(shaping_of(None, {}), Pickling()).refer(counted.override(env_vars={"KEY": key}).spec))
    if how == "the name of a file":
        Path(key).touch()
        return read(File(path=key))
    found = remainder(int(key))
    if flyte.ctx().attempt_number == 0:
        raise RuntimeError("again")
    return found
