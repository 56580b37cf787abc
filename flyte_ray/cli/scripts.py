"""The form `submit python-script FILE -- ARGS` of the verb submit."""

from __future__ import annotations

import json
import os
from typing import Any

import click

from flyte_ray.api.run import Run
from flyte_ray.api.runner import Mode, Runner
from flyte_ray.api.scripts import EXIT, script_inputs, script_task
from flyte_ray.api.settings import current_store, settings
from flyte_ray.cli.deployed import SCRIPT
from flyte_ray.cli.launching import check_detached, launch
from flyte_ray.cli.options import common, of_run, prepare, the_dashboard
from flyte_ray.cluster.session import has_cluster
from flyte_ray.spec.ids import choose_run_name


@click.command(short_help="Run a Python script as a task.")
@common
@click.option("--local", is_flag=True, help="Run in this process's machine, without Ray.")
@of_run
@click.option("--cpu", type=float, default=1, show_default=True, help="CPUs that it holds.")
@click.option("--memory", metavar="SIZE", help="Memory that it may use, such as 4Gi (default: not limited).")
@click.option("--gpu", type=int, default=0, help="GPUs that it holds.")
@click.option("--gpu-type", help="Their type, such as T4.")
@click.option("--timeout", type=int, metavar="SECONDS", help="How long it may run (default: not limited).")
@click.option("--include-files", metavar="PATTERN", multiple=True, help="Files beside it that travel, too; repeatable.")
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
def python_script(file: str, args: tuple[str, ...], **options: Any) -> None:
    """Run FILE with ARGS, which stand behind `--`; its exit code is that of this command."""
    prepare(options["root"], options["address"], options["verbose"], travels=False)
    mode: Mode = "local" if options["local"] else "remote"
    embedded = mode == "remote" and not has_cluster(settings.address)
    check_detached(options, mode, embedded=embedded)
    task = script_task(*(options[name] for name in ("cpu", "memory", "gpu", "gpu_type", "timeout")))
    inputs = script_inputs(file, args, options["include_files"])
    if mode == "remote" and the_dashboard() is not None:
        from flyte_ray.cli.dashboard import Cargo, run_there  # which most commands do without

        run_there(Cargo(inputs["files"], os.path.dirname(os.path.abspath(file)), {file: inputs["name"]}))
    name = choose_run_name(options["name"], os.urandom)
    runner = Runner(
        mode=mode,
        name=name,
        env_vars=options["env"],
        labels=options["label"],
        queue=options["queue"],
        max_action_concurrency=options["most"],
        copy_style="none",
        lasting=not embedded,
    )
    run = Run(current_store(), name, task)
    try:
        launch(lambda: runner.run(task, **inputs), run, options, embedded=embedded)
    except SystemExit as ended:
        raise SystemExit(_exit_code(run) or ended.code) from None


def _exit_code(run: Run) -> int:
    """Return what the script exited with, 0 if the run ended otherwise; a signal counts as in a shell."""
    code = str(json.loads(run.state().root.result or "{}").get("code", ""))
    number = int(code.removeprefix(EXIT)) if code.startswith(EXIT) else 0
    return 128 - number if number < 0 else number


def run_script(context: click.Context, words: tuple[str, ...], options: dict[str, Any]) -> None:
    """Run the form with the words behind `python-script`, and the options before it."""
    before = {name: value for name, value in options.items() if value and not isinstance(value, dict)}
    before |= {name: [f"{key}={value}" for key, value in options[name].items()] for name in ("env", "label")}
    with python_script.make_context(f"submit {SCRIPT}", list(words), context.parent, default_map=before) as inner:
        python_script.invoke(inner)
