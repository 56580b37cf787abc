"""Write a file in one task, read it in another."""

import flyte
from flyte.io import File

env = flyte.TaskEnvironment("files")


@env.task
async def write(text: str) -> File:
    file = File.new_remote()
    async with file.open("wb") as stream:
        await stream.write(text.encode())
    return file


@env.task
async def main(text: str = "written once") -> int:
    file = await write(text)
    async with file.open("rb") as stream:
        return len(await stream.read())
