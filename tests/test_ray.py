"""Runs on a real Ray cluster, as a user sees them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

import flyte_ray as flyte
from flyte_ray.cluster.names import launcher_name, ledger_name
from flyte_ray.errors import RuntimeUserError
from flyte_ray.ledger.query import load_state
from flyte_ray.models import ActionPhase
from flyte_ray.spec.ids import RunId
from flyte_ray.storage import open_store
from tests import workloads
from tests.inboxes import http_inbox
from tests.ray_cluster import cluster, process_of, ray_environ
from tests.waiting import within

wait_until = within(120)

CLI = [sys.executable, "-m", "flyte_ray.cli.main"]
WORKLOADS = str(Path(workloads.__file__))


def outputs(task: flyte.TaskTemplate, **inputs: object) -> object:
    return flyte.run(task, **inputs).outputs()[0]


def test_sync_and_async_tasks_nest(connected: Path) -> None:
    assert outputs(workloads.mixed, n=10) == 570


def test_map_bounds_gives_failures_as_values_and_is_closed_early(connected: Path, tmp_path: Path) -> None:
    run = flyte.run(workloads.maps_in_every_way, counts=str(tmp_path / "counts"))
    assert run.outputs()[0] == [
        "[0, 1, 4, 9, 16, 25, 36]",
        "int 0",
        "RuntimeUserError 1 is odd",
        "int 2",
        "raised 1 is odd",
        "first 0",
    ]
    steps = [action for action in flyte.remote.Action.listall(run.name) if action.task_name == "work.slow_step"]
    # The second was called with the first; the others never.
    assert [action.phase.value for action in steps] == ["succeeded", "aborted"]


def test_5000_actions_run_in_one_run(connected: Path) -> None:
    run = flyte.run(workloads.fan_out, n=5000)
    assert run.outputs() == (sum(x * x for x in range(5000)),)
    assert len(load_state(open_store(connected), RunId(run.name)).actions) == 5001


def test_an_error_keeps_its_type_and_its_original_over_processes(connected: Path) -> None:
    with pytest.raises(RuntimeUserError, match="boom") as caught:
        outputs(workloads.failing)
    assert caught.value.code == "ValueError"
    assert isinstance(caught.value.__cause__, ValueError) and caught.value.__cause__.args == ("boom",)


def test_a_run_tells_how_it_ended(connected: Path) -> None:
    with http_inbox() as inbox:
        hook = flyte.notify.Webhook(on_phase=ActionPhase.FAILED, url=inbox.url)
        flyte.with_runcontext(name="told", notifications=hook).run(workloads.failing).wait()
        wait_until(lambda: bool(inbox.received))  # the run's end is held back for it, but not for ever
        (told,) = inbox.received
    assert (told.content["run"], told.content["phase"], told.content["error"]) == ("told", "failed", "ValueError: boom")


def test_what_an_action_prints_is_kept(connected: Path) -> None:
    run = flyte.run(workloads.speaking)
    run.wait()
    assert "".join(run.get_logs()) == "a word\nINFO flyte_ray.user: a line\n"


def test_what_an_action_prints_is_read_while_it_runs_and_outlives_its_slot(connected: Path, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    run = flyte.run(workloads.speaks_and_dies, marker=str(marker))
    deadline = time.monotonic() + 60
    while "".join(run.get_logs()) != "attempt 0\n":
        assert time.monotonic() < deadline and not run.done(), "what it prints is not stored"
        time.sleep(0.1)
    marker.touch()
    assert run.outputs() == (None,)
    assert [list(run.get_logs(attempt=attempt)) for attempt in (0, 1, 2)] == [["attempt 0\n"], ["attempt 1\n"], []]


def test_an_action_whose_slot_is_killed_runs_again(connected: Path, tmp_path: Path) -> None:
    run = flyte.run(workloads.suicidal, marker=str(tmp_path / "marker"))
    assert run.outputs() == (7,)
    root = load_state(open_store(connected), RunId(run.name)).root
    assert (root.attempts, root.losses + root.displaced, root.failures) == (2, 1, 0)


def test_a_parent_outlives_any_number_of_slots_that_its_children_take_down(connected: Path, tmp_path: Path) -> None:
    run = flyte.run(workloads.survives_its_children, n=4, folder=str(tmp_path))
    assert run.outputs() == (4,)
    actions = load_state(open_store(connected), RunId(run.name)).actions.values()
    assert [action.losses for action in actions if action.task_name == "work.survives_its_children"] == [0]


def test_what_takes_down_every_slot_fails_and_its_parent_goes_on(connected: Path) -> None:
    assert outputs(workloads.catches_what_always_crashes) == "SlotLostError"


def test_the_steps_of_a_killed_slot_do_not_run_again_and_its_checkpoint_is_handed_on(
    connected: Path, tmp_path: Path
) -> None:
    counts = tmp_path / "counts"
    run = flyte.run(workloads.dies_after_its_steps, counts=str(counts), marker=str(tmp_path / "marker"))
    assert run.outputs() == (10,)
    assert counts.read_text().split("\n") == ["paid 0", "paid 1", "paid 2", ""]


def test_a_root_that_is_away_is_waited_for_by_all_and_nothing_runs_twice(connected: Path, tmp_path: Path) -> None:
    counts, away = tmp_path / "counts", connected.with_name("away")
    run = flyte.run(workloads.outlasts, root=str(connected), counts=str(counts))
    wait_for(counts, "begin")
    connected.rename(away)
    deadline = time.monotonic() + 60
    # The slot of the other shape starts meanwhile, and needs the run's start and its code.
    while not ((live := run.look() or {}).get("waits_for_store") and live["starting"]):
        assert time.monotonic() < deadline, live
        time.sleep(0.1)
    away.rename(connected)
    assert run.outputs() == (3 + 49,)
    assert counts.read_text().split() == ["begin", "rows", "square"]


def test_a_run_is_aborted_with_its_actions(connected: Path, tmp_path: Path) -> None:
    counts = tmp_path / "counts"
    run = flyte.run(workloads.slow_steps, n=4, seconds=60.0, counts=str(counts))
    wait_for(counts, "begin")
    run.abort("enough")
    assert run.phase.value == "aborted"
    assert {action.phase.value for action in flyte.remote.Action.listall(run.name)} == {"aborted"}


def test_an_aborted_action_that_is_stuck_in_c_code_ends_with_its_slots_process(connected: Path, tmp_path: Path) -> None:
    counts = tmp_path / "counts"
    run = flyte.run(workloads.stuck, counts=str(counts))
    wait_for(counts, "stuck")
    run.abort("enough")
    assert run.phase.value == "aborted"
    process = int(counts.read_text().split()[1])
    deadline = time.monotonic() + 60
    while Path(f"/proc/{process}").exists():
        assert time.monotonic() < deadline, "its process goes on"
        time.sleep(0.1)


def test_what_shared_a_slot_with_such_an_action_runs_again(connected: Path, tmp_path: Path) -> None:
    counts = tmp_path / "counts"
    run = flyte.run(workloads.outlives_its_child, counts=str(counts))
    wait_for(counts, "stuck")
    run.abort_action(named(run, "work.stuck"), "enough")
    assert run.outputs() == (9,)
    assert counts.read_text().count("stuck") == 1 and "caught" in counts.read_text()
    root = load_state(open_store(connected), RunId(run.name)).root
    assert (root.attempts, root.losses) == (2, 0)


def test_a_killed_ledger_comes_back_and_no_action_runs_twice(connected: Path, tmp_path: Path) -> None:
    counts = tmp_path / "counts"
    run = flyte.run(workloads.slow_steps, n=6, seconds=1.5, counts=str(counts))
    wait_for(counts, "begin")
    time.sleep(0.5)
    os.kill(process_of(ledger_name(f"file://{connected}")), signal.SIGKILL)
    assert run.outputs() == (15,)
    begun = [line.split()[1] for line in counts.read_text().splitlines() if line.startswith("begin")]
    assert sorted(begun) == sorted(set(begun)), counts.read_text()


def test_a_killed_launcher_costs_what_ran_and_nothing_that_was_finished(connected: Path, tmp_path: Path) -> None:
    counts = tmp_path / "counts"
    run = flyte.run(workloads.slow_steps, n=6, seconds=1.5, counts=str(counts))
    wait_for(counts, "end")
    os.kill(process_of(launcher_name(f"file://{connected}")), signal.SIGKILL)
    assert run.outputs() == (15,)
    actions = load_state(open_store(connected), RunId(run.name)).actions.values()
    assert max(action.losses for action in actions) == 0
    begun = [line.split()[1] for line in counts.read_text().splitlines() if line.startswith("begin")]
    assert len(begun) <= 6 + sum(action.displaced for action in actions)


def test_ledger_and_launcher_may_be_killed_together(connected: Path, tmp_path: Path) -> None:
    counts = tmp_path / "counts"
    run = flyte.run(workloads.slow_steps, n=4, seconds=1.5, counts=str(counts))
    wait_for(counts, "begin")
    both = [process_of(name(f"file://{connected}")) for name in (launcher_name, ledger_name)]
    for process in both:
        os.kill(process, signal.SIGKILL)
    assert run.outputs() == (6,)


def test_requests_that_no_node_can_meet_fail_within_seconds(connected: Path) -> None:
    big = workloads.square.override(resources=flyte.Resources(cpu=99))
    with pytest.raises(RuntimeUserError, match="needs 99 CPU, the largest node has 2"):
        outputs(big, x=1)
    # Its parent waits, so that the run stands still: no reason to start the child with less than it asks for.
    with pytest.raises(RuntimeUserError, match="needs 99 CPU, the largest node has 2"):
        outputs(workloads.asks_for_too_much)


def test_a_new_run_does_not_wait_for_the_queue_of_another(connected: Path) -> None:
    long = flyte.run(workloads.slow_fan_out, n=200, seconds=0.3)
    wait_until(lambda: sum(each.phase.value == "running" for each in flyte.remote.Action.listall(long.name)) > 1)
    assert outputs(workloads.square, x=3) == 9
    assert not long.done(), "it had to wait until all of the other run had ended"
    long.abort("enough")


def test_every_mode_gives_the_same_result_and_record(ray_address: str, tmp_path: Path) -> None:
    records = {}
    for mode, options in {"local": ["--local"], "embedded": [], "attached": ["--address", ray_address]}.items():
        root = tmp_path / mode
        done = submit(root, "mixed", "--n", "6", options=[*options, "--name", "same"])
        assert "o0 = 110" in done
        actions = load_state(open_store(root), RunId("same")).actions.values()
        records[mode] = {
            (item.id, item.parent, item.task_name, item.group, item.inputs, item.phase, item.result) for item in actions
        }
    assert records["local"] == records["embedded"] == records["attached"]
    assert len(records["local"]) == 1 + 1 + 6 + 1 + 12


SCRIPT = """
    import os, sys, time
    import ray
    import flyte_ray as flyte

    env = flyte.TaskEnvironment("script")

    @env.task
    def step(x: int) -> int:
        time.sleep(0.5)
        return x

    @env.task
    def main(n: int) -> int:
        return sum(step(x) for x in range(n))

    if __name__ == "__main__":
        ray.init(address=os.environ["ADDRESS"], log_to_driver=False)
        flyte.init(root=os.environ["ROOT"])
        run = flyte.with_runcontext(name="from-main").run(main, n=8)
        print("started", flush=True)
        run.wait()
"""

SECOND = """
    import os
    import ray
    import flyte_ray as flyte

    ray.init(address=os.environ["ADDRESS"], log_to_driver=False)
    flyte.init(root=os.environ["ROOT"])
    run = flyte.remote.Run.get("from-main")
    print(run.outputs())
"""


def test_a_run_outlives_the_script_that_started_it_and_is_found_by_name(ray_address: str, tmp_path: Path) -> None:
    first, second = tmp_path / "first.py", tmp_path / "second.py"
    first.write_text(textwrap.dedent(SCRIPT))
    second.write_text(textwrap.dedent(SECOND))
    environ = {**ray_environ(), "ADDRESS": ray_address, "ROOT": str(tmp_path / "root")}
    process = subprocess.Popen([sys.executable, str(first)], env=environ, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert "started\n" in iter(process.stdout.readline, "")  # Ray may warn of something before
    time.sleep(1.0)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    done = subprocess.run([sys.executable, str(second)], env=environ, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "(28,)", done.stderr


def test_a_run_whose_cluster_is_gone_goes_on_by_itself_on_the_next(ray_address: str, tmp_path: Path) -> None:
    root, counts = tmp_path / "root", tmp_path / "counts"
    words = ["slow_chain", "--n", "6", "--seconds", "0.7", "--counts", str(counts)]
    with cluster(1) as address:
        submit(root, *words, options=["--address", address, "--name", "cut", "--detach"])
        wait_for(counts, "begin 4")
    submit(root, "square", "--x", "3", options=["--address", ray_address, "--name", "other"])
    store = open_store(root)
    wait_until(lambda: load_state(store, RunId("cut")).phase.is_terminal)
    state = load_state(store, RunId("cut"))
    assert (state.root.result, state.resumes) == ("15", 0)
    begun = [line.split()[1] for line in counts.read_text().splitlines() if line.startswith("begin")]
    # A stored success is older than a commit's linger of one second: steps 0 to 2 are stored for certain.
    assert [begun.count(step) for step in "0125"] == [1, 1, 1, 1]


def test_of_two_clusters_that_resume_one_run_at_the_same_time_one_has_it_and_the_other_says_who(
    ray_address: str, tmp_path: Path
) -> None:
    root, counts, gate = tmp_path / "root", tmp_path / "counts", tmp_path / "gate"
    command = [*CLI, "submit", "--root", str(root), "--name", "cut", WORKLOADS]
    command += ["gated", "--counts", str(counts), "--gate", str(gate)]
    process = subprocess.Popen(command, env=ray_environ(), start_new_session=True)
    wait_for(counts, "begun")
    os.killpg(process.pid, signal.SIGKILL)  # with the Ray that it has started
    process.wait()
    with cluster(1) as other:
        addresses = (ray_address, other)
        both = [resume(root, "cut", address) for address in addresses]
        wait_until(lambda: any(each.poll() is not None for each in both))
        gate.touch()
        told = [each.communicate(timeout=120) for each in both]
    assert sorted(each.returncode for each in both) == [0, 1], told
    won, lost = (next(i for i in (0, 1) if both[i].returncode == code) for code in (0, 1))
    assert "o0 = 9" in told[won][0]
    port = addresses[won].rpartition(":")[2]
    assert re.search(rf"Error: Run 'cut' is .* ray:[\d.]+:{port}:", told[lost][1]), told[lost][1]
    assert load_state(open_store(root), RunId("cut")).phase.value == "succeeded"


def resume(root: Path, run: str, address: str) -> subprocess.Popen[str]:
    command = [*CLI, "resume", "--root", str(root), "--address", address, run]
    return subprocess.Popen(command, env=ray_environ(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def submit(root: Path, *words: str, options: list[str] | None = None, address: str | None = None) -> str:
    command = [*CLI, "submit", "--root", str(root), *(options or [])]
    command += ["--address", address] if address else []
    done = subprocess.run(
        [*command, WORKLOADS, *words], env=ray_environ(), capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def wait_for(file: Path, text: str) -> None:
    wait_until(lambda: file.exists() and text in file.read_text())


def named(run: flyte.Run, task: str) -> str:
    """The action of a task, when it is stored."""
    deadline = time.monotonic() + 60
    while not (found := [each for each in flyte.remote.Action.listall(run.name) if each.task_name == task]):
        assert time.monotonic() < deadline, f"no action of {task} was stored"
        time.sleep(0.1)
    return str(found[0].name)
