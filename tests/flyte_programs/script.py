"""A program that starts its run itself, and looks at it by name."""

import flyte
from flyte.models import ActionPhase
from flyte.remote import Run

env = flyte.TaskEnvironment("script", image=flyte.Image.from_debian_base().with_pip_packages("numpy"))


@env.task
def main(x: int = 1) -> int:
    return x + 1


if __name__ == "__main__":
    flyte.init_from_config()
    run = flyte.with_runcontext(mode="local", name="by-itself", labels={"who": "script"}).run(main, x=41)
    run.wait()
    found = Run.get("by-itself")
    assert found.phase == ActionPhase.SUCCEEDED
    print(found.outputs()[0])
