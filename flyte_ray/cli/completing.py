"""Complete words on the command line: the verb `completion`, task names and parameters, names of runs.

Invariants: nothing of the user's is imported or executed, since a shell waits for the answer; what fails completes to
nothing.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click
from click.shell_completion import CompletionItem, get_completion_class

RUNS_SHOWN: Final = 50
SHELLS: Final = ("bash", "zsh", "fish")


@click.command(short_help="Print the completion for bash, zsh or fish.")
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print what makes SHELL complete verbs, options, runs, tasks and their parameters.

    bash: eval "$(flyte-ray completion bash)" in ~/.bashrc; fish: flyte-ray completion fish | source.
    """
    kind = get_completion_class(shell)
    assert kind is not None, f"click completes {shell}"
    click.echo(kind(context.find_root().command, {}, "flyte-ray", "_FLYTE_RAY_COMPLETE").source())


class OfTasks(click.Command):
    """A verb `FILE TASK PARAMETERS` that completes the tasks of the file and the parameters of the task."""

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete an option, which may be a parameter of the task."""
        words = list(ctx.params.get("words") or ())
        tasks = tasks_of(ctx.params.get("file"))
        task = next((word for word in words if word in tasks), None)
        if task is None:
            return super().shell_complete(ctx, incomplete)
        own = [CompletionItem(f"--{name}") for name in tasks[task] if f"--{name}".startswith(incomplete)]
        return own if own or not incomplete.startswith("--") else super().shell_complete(ctx, incomplete)


def complete_words(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the words behind FILE: a task, then its parameters."""
    words = list(ctx.params.get("words") or ())
    tasks = tasks_of(ctx.params.get("file"))
    task = next((word for word in words if word in tasks), None)
    found = tasks if task is None else [f"--{name}" for name in tasks[task]]
    return [CompletionItem(name) for name in found if name.startswith(incomplete)]


def complete_runs(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the name of a run, from the newest of the root; a root that is no folder is not asked."""
    try:
        found = [name for name in _runs(ctx.params.get("root")) if name.startswith(incomplete)]
        return [CompletionItem(name) for name in found[:RUNS_SHOWN]]
    except Exception:  # the module's invariant
        return []


def _runs(root: str | None) -> Iterator[str]:
    from flyte_ray.api.config import auto, use  # half a second of imports, which no other completion pays
    from flyte_ray.api.settings import current_store, init
    from flyte_ray.ledger.listing import names_of_runs

    use(auto())
    init(root)
    store = current_store()
    yield from names_of_runs(store) if store.uri.startswith("file://") else ()


def tasks_of(file: str | None) -> dict[str, list[str]]:
    """Read from a file's text which tasks it declares, and the parameters of each; nothing is imported."""
    try:
        tree = ast.parse(Path(file or "").read_text())
    except (OSError, ValueError, SyntaxError):
        return {}
    functions = (node for node in tree.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)))
    return {
        node.name: [each.arg for each in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
        for node in functions
        if any(map(_is_task, node.decorator_list))
    }


def _is_task(decorator: ast.expr) -> bool:
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    return isinstance(called, ast.Attribute) and called.attr == "task"
