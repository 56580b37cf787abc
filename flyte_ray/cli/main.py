"""The command `flyte-ray`: its verbs in one table.

Exit codes: 0 done, 1 the run failed, 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

from typing import Any

import click

from flyte_ray.cli.reading import get
from flyte_ray.cli.running import abort, resume, submit
from flyte_ray.errors import BaseRuntimeError, DeclarationError


class Verbs(click.Group):
    """A group whose commands show our errors as one sentence, exit 2."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except (BaseRuntimeError, DeclarationError) as error:
            raise click.UsageError(str(error)) from error

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """Take `abort RUN` as short for `abort run RUN`."""
        if args[0] == "abort" and len(args) > 1 and args[1] not in ("run", "action") and not args[1].startswith("-"):
            args = ["abort", "run", *args[1:]]
        return super().resolve_command(ctx, args)


@click.group(cls=Verbs)
@click.version_option(package_name="flyte-ray")
def main() -> None:
    """Durable data and ML work on Ray."""


for verb in (submit, resume, abort, get):
    main.add_command(verb)

if __name__ == "__main__":
    main()
