"""What is told of an environment that could not be set up, out of Ray's text."""

from __future__ import annotations

import pytest
from ray.exceptions import RuntimeEnvSetupError

from flyte_ray.cluster.deaths import read_death
from flyte_ray.cluster.installing import lacks_uv, last_lines, missing_package
from flyte_ray.ledger.losses import SETUP

# As Ray 2.60 says it, shortened where nothing is read.
TRACEBACK = """\
Failed to set up runtime environment.
[Node 192.0.2.2] Traceback (most recent call last):
  File "/site-packages/ray/_private/runtime_env/agent/runtime_env_agent.py", line 561, in _create_runtime_env_with_retry
    runtime_env_context = await asyncio.wait_for(
"""
NONE_SUCH = f"""{TRACEBACK}\
ray._private.runtime_env.utils.SubprocessCalledProcessError: Run cmd[25] failed with the following details.
Command '['/tmp/v/bin/python', '-m', 'uv', 'pip', 'install', '-r', '/tmp/r.txt']' returned non-zero exit status 1.
Last 50 lines of stdout:
    Using Python 3.11.7 environment at: /tmp/v
    error: No solution found when resolving dependencies
      cause: Because none-such was not found in the package registry and you require none-such, we can conclude that
 your requirements are unsatisfiable.

"""
NO_UV = f"""{TRACEBACK}\
ray._private.runtime_env.utils.SubprocessCalledProcessError: Run cmd[3] failed with the following details.
Command '['/tmp/v/bin/python', '-m', 'pip', 'install', '--disable-pip-version-check', '--no-cache-dir', 'uv']' returned non-zero exit status 1.
Last 50 lines of stdout:
    ERROR: Could not find a version that satisfies the requirement uv (from versions: none)
    ERROR: No matching distribution found for uv
"""  # noqa: E501
NO_PODMAN = f"{TRACEBACK}FileNotFoundError: [Errno 2] No such file or directory: 'podman'\n"


def test_of_a_package_that_does_not_exist_the_installers_lines_are_told() -> None:
    loss, hopeless = read_death("s", RuntimeEnvSetupError(NONE_SUCH), list)
    assert hopeless and loss.cause == SETUP
    assert loss.reason.startswith("no index has a package 'none-such' that fits; the last that was said:\n  error: No")
    assert "Traceback" not in loss.reason and "Using Python" not in loss.reason
    assert len(loss.reason.splitlines()) == 4


def test_a_node_without_podman_is_told_so() -> None:
    assert "lacks podman" in last_lines(NO_PODMAN)


def test_of_what_no_installer_has_said_the_last_words_are_told() -> None:
    assert last_lines(f"{TRACEBACK}RuntimeError: Please install virtualenv\n") == "Please install virtualenv"
    assert last_lines("something new\n") == "something new"


@pytest.mark.parametrize(("text", "expected"), [(NO_UV, True), (NONE_SUCH, False), (NO_PODMAN, False)])
def test_a_lack_of_uv_is_told_from_one_of_packages(text: str, expected: bool) -> None:
    assert lacks_uv(text) is expected


def test_pips_word_for_a_package_that_no_index_has_is_known() -> None:
    assert missing_package("ERROR: No matching distribution found for none-such==9") == "none-such==9"
    assert missing_package(NO_PODMAN) is None
