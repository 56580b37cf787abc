"""Give one call other resources, another name and a time limit."""

import flyte

small = flyte.TaskEnvironment("overriding", resources=flyte.Resources(cpu=1), env_vars={"SIZE": "small"})


@small.task(timeout=flyte.Timeout(max_runtime=60))
def measure(n: int) -> int:
    return n


@small.task
def main() -> int:
    larger = measure.override(short_name="larger", resources=flyte.Resources(cpu=(1, 2)), retries=3)
    return measure(1) + larger(2)
