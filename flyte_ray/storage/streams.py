"""Read and write files as streams from async code: each call that may wait is made on a thread.

A file that is written appears when it is closed, or when its block ends without an error; before that nobody sees it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from types import TracebackType
from typing import IO, Any, Final

from flyte_ray.storage.files import open_uri
from flyte_ray.storage.working import current_options, reading, require_working, writing
from flyte_ray.storage.writing import in_mode, is_for_writing

CHUNK: Final = 10 << 20
"""Bytes of a piece of a stream."""


class AsyncFile:
    """An open file whose methods are awaited; text or bytes as it was opened. Iterated it gives lines."""

    def __init__(self, file: IO[Any], stack: ExitStack) -> None:
        """Wrap a file; the stack holds what ends with it."""
        self._file, self._stack = file, stack

    @staticmethod
    async def enter(opened: Callable[[], AbstractContextManager[IO[Any]]]) -> AsyncFile:
        """Open without blocking the loop."""
        stack = ExitStack()
        return AsyncFile(await asyncio.to_thread(lambda: stack.enter_context(opened())), stack)

    async def read(self, size: int = -1) -> Any:
        """Read some bytes or characters, or what is left; empty at the end."""
        return await asyncio.to_thread(self._file.read, size)

    async def readline(self) -> Any:
        """Read a line with its end; empty at the end of the file."""
        return await asyncio.to_thread(self._file.readline)

    async def readlines(self) -> list[Any]:
        """Read all lines that are left."""
        return await asyncio.to_thread(self._file.readlines)

    async def write(self, data: Any) -> int:
        """Write; returns how much was written."""
        return int(await asyncio.to_thread(self._file.write, data))

    async def writelines(self, lines: Iterable[Any]) -> None:
        """Write many pieces."""
        await asyncio.to_thread(self._file.writelines, lines)

    async def seek(self, offset: int, whence: int = 0) -> int:
        """Go to another place in what is read."""
        return await asyncio.to_thread(self._file.seek, offset, whence)

    async def tell(self) -> int:
        """Return the place of the next byte."""
        return await asyncio.to_thread(self._file.tell)

    async def flush(self) -> None:
        """Do nothing but hand on what is buffered here: what is written appears as a whole."""
        await asyncio.to_thread(self._file.flush)

    async def close(self) -> None:
        """Close; a file that was written appears."""
        await asyncio.to_thread(self._stack.close)

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        line = await self.readline()
        if not line:
            raise StopAsyncIteration
        return line

    async def __aenter__(self) -> AsyncFile:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self._stack.__exit__, kind, error, trace)


async def open(path: str, mode: str = "rb", **given: Any) -> AsyncFile:
    """Open a path or URL; a file that is written appears when it is closed. Source: `flyte.storage.open`.

    Args:
        path: A path or URL.
        mode: `rb`, `r`, `wb` or `w`.
        given: More for the `open` of the fsspec file system, such as `block_size`.

    Raises:
        FileNotFoundError: It is to be read and not there.

    """
    if is_for_writing(mode):
        return await AsyncFile.enter(lambda: _written(path, mode))
    return await AsyncFile.enter(lambda: reading(path, lambda: open_uri(path, mode, current_options(), **given)))


async def get_stream(path: str, chunk_size: int = CHUNK, **given: Any) -> AsyncIterator[bytes]:
    """Yield a file's bytes in pieces. Source: `flyte.storage.get_stream`.

    Args:
        path: A path or URL.
        chunk_size: Bytes of each piece but the last.
        given: See `open`.

    Raises:
        FileNotFoundError: It is not there.

    """
    async with await open(path, **given) as file:
        while piece := await file.read(chunk_size):
            yield piece


async def put_stream(
    data_iterable: AsyncIterable[bytes] | Iterable[bytes] | bytes,
    *,
    name: str | None = None,
    to_path: str | None = None,
    **accepted: Any,
) -> str:
    """Write pieces of bytes to a file, which appears when there are no more. Source: `flyte.storage.put_stream`.

    Args:
        data_iterable: The pieces, or all bytes at once.
        name: The file's own name, in a place of the run.
        to_path: A path or URL, in place of a place of the run.
        accepted: `size_hint`, `chunk_size`, `max_concurrency`: not needed here.

    Returns:
        The path or URL.

    Raises:
        NotInTaskContextError: There is no `to_path`, and no task that calls this.

    """
    target = to_path or require_working("put_stream").place.fresh(name or "data")
    async with await open(target, "wb") as file:
        if isinstance(data_iterable, (bytes, bytearray, memoryview)):
            await file.write(data_iterable)
        elif isinstance(data_iterable, AsyncIterable):
            async for piece in data_iterable:
                await file.write(piece)
        else:
            for piece in data_iterable:
                await file.write(piece)
    return target


@contextmanager
def _written(path: str, mode: str) -> Iterator[IO[Any]]:
    with writing(path) as raw, in_mode(raw, mode) as file:
        yield file
