"""Move objects to and from S3: large ones in parts, many side by side.

Invariants: an object appears whole or not at all, and so does the local copy of one; a copy is of one version of its
object, also if that is replaced meanwhile. All of it runs on the event loop of s3fs, and large pieces of local files
are read and written on threads beside it.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import io
import mimetypes
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import Any, Final, TypeVar

from flyte_ray.storage.filesystems import PART
from flyte_ray.storage.local import appearing

T = TypeVar("T")
PARTS_AT_A_TIME: Final = 8
OBJECTS_AT_A_TIME: Final = 48
FIRST: Final = 4 << 20
"""Bytes that are asked for before it is known how large an object is."""
MAX_PARTS: Final = 9_000
"""S3 allows 10,000."""
TRIES: Final = 6
"""Of a request for a part: its answer failed on the way, or the server was too busy."""
PAUSE_S: Final = 0.2
"""After the first of them; twice as long after each."""
_BUSY: Final = (errno.EBUSY, getattr(errno, "EREMOTEIO", errno.EIO), errno.ECONNRESET, errno.ECONNREFUSED)


class _Replaced(Exception):
    """The object is another one than at the first request."""


def send_files(fs: Any, files: Mapping[str, str]) -> None:
    """Write objects with the contents of local files.

    Args:
        fs: An `S3FileSystem`.
        files: Local path by path in the store.

    """
    calls = [partial(_send, fs, *item) for item in files.items()]
    _run(fs, lambda room: _side_by_side([partial(call, room) for call in calls], OBJECTS_AT_A_TIME))


def fetch_files(fs: Any, files: Mapping[str, str]) -> None:
    """Copy objects to local files, each of which appears when it is whole.

    Args:
        fs: An `S3FileSystem`.
        files: Local path by path in the store.

    Raises:
        FileNotFoundError: There is no such object.

    """
    calls = [partial(_fetch, fs, *item) for item in files.items()]
    _run(fs, lambda room: _side_by_side([partial(call, room) for call in calls], OBJECTS_AT_A_TIME))


def read_object(fs: Any, path: str) -> bytes:
    """Read an object: with one request, or with several side by side if it is large."""
    found: bytes = _run(fs, lambda room: _of_one_version(partial(_read, fs, path, room)))
    return found


def send_part(fs: Any, bucket: str, key: str, upload: str, number: int, data: bytes) -> str:
    """Send one part of an upload, numbered from 1; returns its ETag."""
    found: str = _run(fs, lambda _: _send_part(fs, bucket, key, upload, number, data))
    return found


def complete_upload(fs: Any, bucket: str, key: str, upload: str, etags: list[str]) -> None:
    """Make an object of the parts of an upload; parts are numbered from 1 in the order of `etags`."""
    _run(fs, lambda _: _complete(fs, bucket, key, upload, etags))


def _run(fs: Any, call: Callable[[asyncio.Semaphore], Awaitable[T]]) -> T:
    from fsspec.asyn import sync  # half a second with s3fs, which exists by now

    async def run() -> T:
        return await call(asyncio.Semaphore(PARTS_AT_A_TIME))

    found: T = sync(fs.loop, run)
    return found


async def _side_by_side(calls: Iterable[Callable[[], Awaitable[T]]], most: int) -> list[T]:
    """Await calls, some at a time, and return their results in order; the first error ends the others."""
    waiting, results = enumerate(calls), dict[int, T]()

    async def work() -> None:
        for index, call in waiting:
            results[index] = await call()

    workers = [asyncio.create_task(work()) for _ in range(most)]
    try:
        await asyncio.gather(*workers)
    except BaseException:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
        raise
    return [results[index] for index in range(len(results))]


async def _persist(call: Callable[[], Awaitable[T]]) -> T:
    """Repeat a request for a part: while its server is started again the other parts need not be sent again."""
    from botocore.exceptions import ConnectionError as NotConnected  # see _run
    from s3fs.core import S3_RETRYABLE_ERRORS

    for attempt in range(TRIES):
        try:
            return await call()
        except Exception as error:
            passing = isinstance(error, (NotConnected, ConnectionError, *S3_RETRYABLE_ERRORS)) or (
                isinstance(error, OSError) and error.errno in _BUSY
            )
            if not passing or attempt == TRIES - 1:
                raise
            await asyncio.sleep(PAUSE_S * 2**attempt)
    raise AssertionError("the last try returns or raises")


async def _retried(call: Callable[[], Awaitable[T]]) -> T:
    """Repeat a request whose answer breaks off: s3fs repeats only what fails before."""
    from s3fs.core import S3_RETRYABLE_ERRORS  # see _run

    for attempt in range(TRIES - 1):
        try:
            return await call()
        except S3_RETRYABLE_ERRORS:
            await asyncio.sleep(PAUSE_S * 2**attempt)
    return await call()


async def _get(fs: Any, path: str, start: int, end: int) -> tuple[bytes, str, int]:
    """Read a range of an object; returns it, the object's ETag and its size."""
    bucket, key, version = fs.split_path(path)
    given = {"VersionId": version} if version else {}

    async def ask() -> tuple[bytes, str, int]:
        answer = await fs._call_s3("get_object", Bucket=bucket, Key=key, Range=f"bytes={start}-{end - 1}", **given)
        body = answer["Body"]
        try:
            data = await body.read()
        finally:
            body.close()
        size = int((answer.get("ContentRange") or f"/{len(data)}").rpartition("/")[2])
        return data, answer.get("ETag", ""), size

    try:
        return await (_persist(ask) if start else _retried(ask))
    except OSError as error:
        # An empty object has no first byte.
        if start or error.errno != errno.EINVAL or await fs._size(path):
            raise
        return b"", "", 0


async def _pieces(
    fs: Any, path: str, first: int, etag: str, size: int, room: asyncio.Semaphore, take: Callable[..., Awaitable[None]]
) -> None:
    """Read what follows the first bytes of an object; `take(data, start)` gets each piece."""

    async def piece(start: int) -> None:
        end = min(start + PART, size)
        async with room:
            try:
                data, other, _ = await _get(fs, path, start, end)
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
                raise _Replaced(path) from error  # it is shorter now
            if other != etag or len(data) != end - start:
                raise _Replaced(path)
            await take(data, start)

    await _side_by_side((partial(piece, start) for start in range(first, size, PART)), PARTS_AT_A_TIME)


async def _of_one_version(call: Callable[[], Awaitable[T]]) -> T:
    for _ in range(TRIES - 1):
        with contextlib.suppress(_Replaced):
            return await call()
    try:
        return await call()
    except _Replaced as error:
        raise OSError(errno.EBUSY, f"{error} is replaced again and again while it is read") from error


async def _read(fs: Any, path: str, room: asyncio.Semaphore) -> bytes:
    first, etag, size = await _get(fs, path, 0, FIRST)
    if size <= len(first):
        return first
    whole = io.BytesIO()  # gives its bytes away without a copy

    async def take(data: bytes, start: int) -> None:
        whole.seek(start)
        whole.write(data)

    await take(b"\0", size - 1)
    await take(first, 0)
    await _pieces(fs, path, len(first), etag, size, room, take)
    return whole.getvalue()


async def _fetch(fs: Any, path: str, target: str, room: asyncio.Semaphore) -> None:
    async def copy() -> None:
        first, etag, size = await _get(fs, path, 0, FIRST)
        with appearing(target) as temporary, open(temporary, "wb", buffering=0) as file:
            _write_at(file.fileno(), first, 0)

            async def take(data: bytes, start: int) -> None:
                await asyncio.to_thread(_write_at, file.fileno(), data, start)

            if size > len(first):
                await _pieces(fs, path, len(first), etag, size, room, take)

    await _of_one_version(copy)


async def _send(fs: Any, path: str, source: str, room: asyncio.Semaphore) -> None:
    bucket, key, _ = fs.split_path(path)
    kind = mimetypes.guess_type(source)[0]
    about = {"Bucket": bucket, "Key": key, **({"ContentType": kind} if kind else {})}
    with open(source, "rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        if size <= FIRST:
            data = file.read()
            await fs._call_s3("put_object", Body=data, **about)
            return
        if size <= 2 * PART:
            async with room:
                body = await asyncio.to_thread(os.pread, file.fileno(), size, 0)
                await fs._call_s3("put_object", Body=body, **about)
            return
        upload = (await fs._call_s3("create_multipart_upload", **about))["UploadId"]
        try:
            length = max(PART, -(-size // MAX_PARTS))

            async def part(number: int) -> str:
                async with room:
                    data = await asyncio.to_thread(os.pread, file.fileno(), length, number * length)
                    return await _send_part(fs, bucket, key, upload, number + 1, data)

            etags = await _side_by_side((partial(part, n) for n in range(-(-size // length))), PARTS_AT_A_TIME)
            await _complete(fs, bucket, key, upload, etags)
        except BaseException:
            # Where the server is away its parts stay until the bucket's rule for unfinished uploads removes them.
            with contextlib.suppress(Exception):
                await fs._abort_mpu(bucket, key, upload)
            raise


async def _send_part(fs: Any, bucket: str, key: str, upload: str, number: int, data: bytes) -> str:
    given = {"Bucket": bucket, "Key": key, "UploadId": upload, "PartNumber": number}
    answer = await _persist(lambda: fs._call_s3("upload_part", Body=data, **given))
    etag: str = answer["ETag"]
    return etag


async def _complete(fs: Any, bucket: str, key: str, upload: str, etags: list[str]) -> None:
    parts = [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(etags, 1)]
    given = {"Bucket": bucket, "Key": key, "UploadId": upload, "MultipartUpload": {"Parts": parts}}
    try:
        await _persist(lambda: fs._call_s3("complete_multipart_upload", **given))
    except FileNotFoundError:
        # Done already, if an earlier answer was lost: the object then says so itself.
        head = await _persist(lambda: fs._call_s3("head_object", Bucket=bucket, Key=key))
        if head["ETag"].strip('"') != _whole_etag(etags):
            raise


def _whole_etag(etags: list[str]) -> str:
    digests = b"".join(bytes.fromhex(etag.strip('"')) for etag in etags)
    return f"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(etags)}"


def _write_at(handle: int, data: bytes, start: int) -> None:
    view = memoryview(data)
    while view:
        done = os.pwrite(handle, view, start)
        view, start = view[done:], start + done
