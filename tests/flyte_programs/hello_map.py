"""Fan out over a list and sum."""

import flyte

env = flyte.TaskEnvironment(name="hello_map", resources=flyte.Resources(cpu=1))


@env.task
def square(x: int) -> int:
    return x * x


@env.task
def main(n: int = 4) -> int:
    return sum(flyte.map(square, range(n)))
