"""Runs that earlier versions recorded are read as what they told then; see `tests/golden/story.py`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import flyte_ray as flyte
from flyte_ray.ledger.events import FORMAT, KINDS
from flyte_ray.ledger.log import read_segments
from flyte_ray.ledger.paths import snapshot_key
from flyte_ray.ledger.printing import load_printed, write_printed
from flyte_ray.ledger.query import load_past, load_state
from flyte_ray.ledger.run_list import RunList
from flyte_ray.spec.ids import RunId
from flyte_ray.storage import open_store
from tests.golden.story import RUN
from tests.golden.telling import tell

RECORDED = sorted(Path(__file__).parent.glob("golden/format-*"))


def test_the_current_format_has_its_golden_run() -> None:
    assert f"format-{FORMAT}" in [folder.name for folder in RECORDED]


@pytest.mark.parametrize("folder", RECORDED, ids=lambda folder: folder.name)
@pytest.mark.parametrize("with_snapshot", [True, False])
def test_a_recorded_run_tells_what_it_told(folder: Path, with_snapshot: bool, tmp_path: Path) -> None:
    root = shutil.copytree(folder, tmp_path / "root")
    for told in folder.glob("told-*.json"):
        run = RunId(told.stem.removeprefix("told-"))
        if not with_snapshot:
            (root / snapshot_key(run)).unlink()
        assert tell(load_state(open_store(root), run)) == json.loads(told.read_text())


@pytest.mark.parametrize("folder", RECORDED, ids=lambda folder: folder.name)
def test_a_recorded_runs_logs_steps_and_start_are_read(folder: Path) -> None:
    store = open_store(folder)
    retried = next(item.id for item in load_state(store, RUN).actions.values() if "lucky" in item.task_name)
    assert write_printed(load_printed(store, RUN, retried)) == "tried\ntried\n"
    assert [step.name for step in load_past(store, RUN, retried).steps] == ["draw"]
    assert {"golden": "yes"} in [run.about.get("labels") for run in RunList(store).runs()]


def test_the_current_formats_run_tells_of_every_kind_of_event() -> None:
    store = open_store(Path(__file__).parent / "golden" / f"format-{FORMAT}")
    runs = (RUN, RunId("after"))
    told = {event.kind for run in runs for _, segment in read_segments(store, run) for event in segment.events}
    assert set(KINDS) - told <= {"LOST", "RETURNED", "RESUMED", "RENEWED"}, "those need a crash"


def test_what_was_pickled_before_pickles_were_signed_is_loaded_on_request_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = shutil.copytree(Path(__file__).parent / "golden" / "format-2", tmp_path / "root")
    failed = next(item for item in load_state(open_store(root), RUN).actions.values() if "fails" in item.task_name)
    try:
        for policy, cause in ((None, None), ("accept_unsigned", "KeyError('no 1')")):
            flyte.init(root=root, pickles=policy)  # type: ignore[arg-type]
            error = flyte.remote.Action.get(RUN, failed.id).error
            assert error and repr(error.__cause__ or None) == str(cause)
    finally:
        flyte.init()
    assert caplog.text.count("a pickle without a signature, as earlier versions of flyte-ray wrote them") == 1
