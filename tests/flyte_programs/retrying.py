"""Retry what fails at first, and catch what fails for good."""

from datetime import timedelta

import flyte
import flyte.errors

env = flyte.TaskEnvironment("retrying")


@env.task(retries=flyte.RetryStrategy(count=2, backoff=flyte.Backoff(base=timedelta(milliseconds=1))))
def flaky() -> int:
    attempt = flyte.ctx().attempt_number
    if attempt < 2:
        raise ConnectionError(f"attempt {attempt}")
    return attempt


@env.task
def hopeless() -> int:
    raise flyte.errors.NonRecoverableError("never")


@env.task
def main() -> str:
    try:
        hopeless()
    except flyte.errors.RuntimeUserError as error:
        return f"{flaky()} {error.code}"
    return "unreachable"
