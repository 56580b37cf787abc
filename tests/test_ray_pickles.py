"""Pickles on a real cluster: slots sign with the key of who has started their run, and got it by message alone."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

import flyte_ray as flyte
from flyte_ray.cluster.names import ledger_name
from flyte_ray.errors import PickleRefusedError, RuntimeUserError
from flyte_ray.storage import open_store
from tests import pickled
from tests.ray_cluster import process_of

pytestmark = pytest.mark.filterwarnings("ignore:Values of type Thing")
MINE, THEIRS = "a secret key of mine", "a secret key of theirs"


def test_two_users_of_one_cluster_and_root_read_what_is_theirs(
    connected: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker = tmp_path / "go on"
    monkeypatch.setenv("FLYTE_RAY_KEY", MINE)
    mine = flyte.run(pickled.both, "mine", str(marker))
    made = flyte.run(pickled.make, "made")
    assert made.outputs()[0].text == "made"
    monkeypatch.setenv("FLYTE_RAY_KEY", THEIRS)
    assert flyte.run(pickled.both, "theirs").outputs() == ("theirs", "")
    with pytest.raises(PickleRefusedError, match="signed with key .+, and this process has key"):
        made.outputs()
    # A ledger that begins anew has the keys of both from the launcher.
    deadline = time.monotonic() + 60
    while not Path(f"{marker}.waits").exists():
        assert time.monotonic() < deadline, "the task should wait by now"
        time.sleep(0.05)
    os.kill(process_of(ledger_name(open_store(connected).uri)), signal.SIGKILL)
    marker.touch()
    monkeypatch.setenv("FLYTE_RAY_KEY", MINE)
    assert mine.outputs() == ("mine", "")
    import ray

    logs = Path(ray._private.worker._global_node.get_session_dir_path())
    texts = [path for folder in (logs, connected) for path in folder.rglob("*") if path.is_file()]
    assert len(texts) > 20
    assert not [path for path in texts if any(key.encode() in path.read_bytes() for key in (MINE, THEIRS))]


def test_pickles_that_are_turned_off_are_off_in_every_process(connected: Path) -> None:
    runner = flyte.with_runcontext(pickles="refuse")
    assert runner.run(pickled.give_back, [1, (2, "a")]).outputs() == ([1, (2, "a")],)
    with pytest.raises(
        RuntimeUserError, match="'pickled.make', variable 'o0'.+ Thing can only be pickled, but pickles"
    ):
        runner.run(pickled.both, "a").outputs()

    env = flyte.TaskEnvironment("inside")

    @env.task
    def by_value() -> int:
        return 1

    with pytest.raises(flyte.errors.CodeBundleError, match="can only travel as a pickle, but pickles='refuse' turns"):
        runner.run(by_value)
    assert flyte.run(by_value).outputs() == (1,)
