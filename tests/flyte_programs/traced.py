"""Record calls of plain functions, and time that a retry gets again."""

import flyte
import flyte.durable

env = flyte.TaskEnvironment("traced")
calls: list[int] = []


@flyte.trace
def ask(x: int) -> int:
    calls.append(x)
    return x + len(calls)


@env.task(retries=1)
def main() -> list[float]:
    began = flyte.durable.time()
    answers = [ask(1), ask(10)]
    if flyte.ctx().attempt_number == 0:
        raise RuntimeError("after the answers")
    return [*answers, float(flyte.durable.time() >= began)]
