"""Report what was found, and tell the context of the run on."""

import flyte
import flyte.report

env = flyte.TaskEnvironment("reporting")


@env.task(report=True)
def table(rows: int) -> str:
    flyte.report.log(f"<p>{rows} rows</p>")
    flyte.report.get_tab("Details").log("<p>none</p>")
    flyte.report.flush()
    return flyte.get_custom_context()["team"]


@env.task
def main() -> str:
    with flyte.custom_context(team="blue"):
        return table(3)
