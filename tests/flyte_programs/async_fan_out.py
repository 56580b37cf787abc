"""Await tasks side by side, in a group."""

import asyncio

import flyte

env = flyte.TaskEnvironment("async_fan_out")


@env.task
async def shout(word: str) -> str:
    return word.upper()


@env.task
async def main(words: list[str]) -> str:
    with flyte.group("shouting"):
        return " ".join(await asyncio.gather(*(shout(word) for word in words)))
