"""Triggers on record: deployed with their task, made by themselves, run on demand and for the past; in local mode."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from unittest import mock

import pytest
from click.testing import CliRunner, Result

import flyte_ray as flyte
from flyte_ray.cli.main import main
from flyte_ray.cluster.trigger_ledger import TriggerLedger, start_of
from flyte_ray.errors import ObjectMissing, RemoteTaskNotFoundError, RunAlreadyExistsError
from flyte_ray.ledger.paths import segment_key, spec_key
from flyte_ray.ledger.tasks import delete_deployed
from flyte_ray.ledger.triggers import load_trigger, run_name
from flyte_ray.storage import open_store
from flyte_ray.types.signing import Key, Pickling

REPORTS = """
from datetime import datetime
import flyte_ray as flyte

env = flyte.TaskEnvironment("reports")
TRIGGERS = [
    flyte.Trigger(
        "nightly", flyte.Cron("30 2 * * *", "Europe/Zurich"), inputs={"at": flyte.TriggerTime, "cities": ["Bern"]},
        labels={"team": "books"}, env_vars={"MODE": "night"}, overwrite_cache=True,
    ),
    flyte.Trigger.hourly("at", inputs={"cities": []}, auto_activate=False),
]

@env.task(triggers=TRIGGERS)
def report(at: datetime, cities: list[str], factor: float = 1.0) -> str:
    return f"{at.isoformat()} {'+'.join(cities)} {factor}"
"""
NOON_US = int(datetime(2026, 1, 2, 12, tzinfo=timezone.utc).timestamp()) * 1_000_000
Cli = Callable[..., Result]


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cli]:
    monkeypatch.setenv("FLYTE_RAY_ROOT", str(tmp_path / "root"))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setitem(sys.modules, "report_file", sys)  # forgotten after the test
    flyte.init(tmp_path / "root")
    yield lambda *words: CliRunner().invoke(main, words, prog_name="flyte-ray")
    flyte.init()


@pytest.fixture
def file(tmp_path: Path, cli: Cli) -> Path:
    path = tmp_path / "report_file.py"
    assert "Trigger reports.report/nightly is new, and active." in deployed(cli, path, REPORTS)
    return path


def deployed(cli: Cli, file: Path, text: str) -> str:
    file.write_text(text)
    sys.modules.pop("report_file", None)
    result = cli("deploy", str(file))
    assert result.exit_code == 0, result.output
    return result.output


def listed(cli: Cli) -> dict[str, dict[str, str]]:
    return {row["trigger"]: row for row in json.loads(cli("get", "trigger", "-o", "json").output)}


def test_a_task_is_deployed_with_its_triggers(cli: Cli, file: Path) -> None:
    rows = listed(cli)
    nightly, hourly = rows["reports.report/nightly"], rows["reports.report/hourly"]
    assert (nightly["active"], nightly["fires"]) == ("yes", "CRON_TZ=Europe/Zurich 30 2 * * *")
    assert nightly["next"].endswith((" 01:30:00+00:00", " 00:30:00+00:00", " 01:00:00+00:00"))
    assert (hourly["active"], hourly["next"]) == ("no", "")
    assert "Nothing has changed." in deployed(cli, file, REPORTS)


def test_another_deployment_keeps_what_a_person_has_switched(cli: Cli, file: Path) -> None:
    flyte.remote.Trigger.update("nightly", "reports.report", active=False)
    flyte.remote.Trigger.update("hourly", "reports.report", active=True)
    output = deployed(cli, file, REPORTS + "\nMORE = 1\n")
    assert "Trigger reports.report/nightly is changed, and not active." in output
    assert flyte.remote.Trigger.get(name="hourly", task_name="reports.report").is_active
    output = deployed(cli, file, REPORTS.replace("triggers=TRIGGERS", "triggers=TRIGGERS[:1]"))
    assert "Trigger reports.report/hourly is not in the code any more, and was switched off." in output


def test_a_trigger_is_run_on_demand_with_other_inputs(cli: Cli, file: Path) -> None:
    trigger = flyte.remote.Trigger.get(name="nightly", task_name="reports.report")
    run = flyte.run(trigger, cities=["Chur", "Genf"])
    at, cities, factor = run.outputs()[0].split()
    assert datetime.fromisoformat(at).tzinfo is not None and (cities, factor) == ("Chur+Genf", "1.0")
    with pytest.raises(TypeError, match="are given by name, got 3 without one"):
        flyte.run(trigger, 3)


def test_a_backfill_starts_what_would_have_fired_and_nothing_twice(cli: Cli, file: Path) -> None:
    words = ("backfill", "nightly", "--from", "2026-03-28", "--to", "2026-03-31", "-o", "json")
    planned = [row["fire"] for row in json.loads(cli(*words, "--dry-run").output)]
    assert planned == ["2026-03-28 01:30:00+00:00", "2026-03-29 01:00:00+00:00", "2026-03-30 00:30:00+00:00"]
    assert not flyte.remote.Run.listall()
    for done in ("succeeded", "was there"):
        rows = json.loads(cli(*words, "--local").output)
        assert [row["done"] for row in rows] == [done] * 3
    first = flyte.remote.Run.get(rows[0]["run"])
    assert first.outputs() == ("2026-03-28T01:30:00+00:00 Bern 1.0",)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nightly", "--from", "2026-02-01", "--to", "2026-01-01"), "goes from a moment to a later one"),
        (("nightly", "--from", "soon", "--to", "2026-01-01"), "--from: "),
        (("reports.report/hourly", "--from", "2026-01-01", "--to", "2026-12-01"), "at most 1,000 runs"),
        (
            ("weekly", "--from", "2026-01-01", "--to", "2026-12-01"),
            "there are none of this name",
        ),
        (("reports.report/weekly", "--from", "2026-01-01", "--to", "2026-12-01"), "It has: hourly, nightly."),
    ],
)
def test_a_backfill_that_cannot_be_meant_is_refused(cli: Cli, file: Path, words: tuple[str, ...], said: str) -> None:
    result = cli("backfill", *words)
    assert (result.exit_code, said in " ".join(result.output.split())) == (2, True), result.output


def test_triggers_are_made_switched_and_deleted_by_commands(cli: Cli, file: Path) -> None:
    made = cli("create", "trigger", "reports.report", "often", *OFTEN)
    assert "Trigger reports.report/often is created and is active. It fires at" in made.output, made.output
    assert "none was reached from here" in made.output
    record = load_trigger(open_store(file.parent / "root"), "reports.report", "often")
    assert (record.version, record.inputs["cities"], record.overlap) == (None, '["Thun"]', "queue")
    assert "is changed and is not active." in cli("update", "trigger", "often", "reports.report", "--deactivate").output
    assert "Deleted trigger" in cli("delete", "trigger", "often", "reports.report").output
    with pytest.raises(ObjectMissing, match="should hold a trigger 'often' of task 'reports.report', but does not"):
        flyte.remote.Trigger.delete("often", "reports.report")


OFTEN = ("--every", "5", "--trigger-time-var", "at", "--input", 'cities=["Thun"]', "--overlap", "queue")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--schedule", "0 0 30 2 *"), "can never fire"),
        (("--schedule", "0 0 * * *", "--timezone", "Mars/Olympus"), "must be the name of a time zone"),
        (("--schedule", "0 0 * * *"), "needs a value for parameter 'at', got none"),
        (("--every", "5", "--input", "town=Thun"), "should have the parameter 'town'"),
        (("--every", "5", "--schedule", "0 0 * * *"), "got both"),
        (("--every", "5", "--trigger-time-var", "factor"), "needs a value for parameter 'at'"),
    ],
)
def test_a_trigger_that_does_not_fit_is_refused(cli: Cli, file: Path, words: tuple[str, ...], said: str) -> None:
    result = cli("create", "trigger", "reports.report", "odd", "--input", "cities=[]", *words)
    assert (result.exit_code, said in " ".join(result.output.split())) == (2, True), result.output
    assert "reports.report/odd" not in listed(cli)


def test_values_that_are_not_of_their_type_are_refused_when_they_are_put_on_record(cli: Cli, file: Path) -> None:
    with pytest.raises(ValueError, match="Trigger 'odd' should have inputs that fit its task, but: Task 'reports.repo"):
        flyte.remote.Trigger.create(flyte.Trigger("odd", inputs={"at": "noon", "cities": []}), "reports.report")
    with pytest.raises(RemoteTaskNotFoundError, match="a deployed task 'reports.none', but does not"):
        flyte.remote.Trigger.create(flyte.Trigger("odd"), "reports.none")


def test_a_ledger_starts_a_run_with_what_is_on_record(cli: Cli, file: Path, tmp_path: Path) -> None:
    store = open_store(tmp_path / "root")
    record = load_trigger(store, "reports.report", "nightly")
    fire_us = int(datetime(2026, 1, 2, 1, 30, tzinfo=timezone.utc).timestamp()) * 1_000_000
    sys.modules.pop("report_file", None)
    start = start_of(store, record, fire_us, {})
    assert "report_file" not in sys.modules, "the ledger imports nothing of a user's"
    assert json.loads(start.inputs) == {"at": "2026-01-02T01:30:00+00:00", "cities": ["Bern"]}
    assert (start.about["pickles"], start.about["cache"]) == ("refuse", "overwrite")
    assert start.about["labels"] == {"team": "books"}
    options = json.loads(start.task.options)["runtime_env"]["env_vars"]
    assert options["MODE"] == "night" and options["FLYTE_RAY_BUNDLE"] == start.about["code"]
    key = record.about["key"]
    assert start_of(store, record, fire_us, {key: Pickling(Key(b"x" * 16))}).about["pickles"] == "sign"
    delete_deployed(store, "reports.report")
    with pytest.raises(RemoteTaskNotFoundError):
        start_of(store, record, fire_us, {})


def test_a_run_that_has_begun_is_left_to_who_continues_it(cli: Cli, file: Path, tmp_path: Path) -> None:
    store = open_store(tmp_path / "root")
    record = load_trigger(store, "reports.report", "nightly")
    ledger = mock.Mock(runs=[])
    triggers = TriggerLedger(store, ledger, dict)
    run = run_name(record, NOON_US)
    triggers._begin(record, NOON_US)
    store.put(spec_key(run), b"{}")  # its ledger died right after that
    triggers._begin(record, NOON_US)
    assert [call.args[0].run for call in ledger.start.call_args_list] == [run, run]
    assert len({call.args[0].nonce for call in ledger.start.call_args_list}) == 1
    store.put(segment_key(run, 0), b"")
    with pytest.raises(RunAlreadyExistsError):
        triggers._begin(record, NOON_US)
