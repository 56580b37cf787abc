"""Write objects as a stream; each appears when it is whole, or not at all.

Invariants: what is not committed is never seen; no more than a few parts are in memory, however large the object gets.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import IO, Any, Final

from flyte_ray.errors import StoreDamagedError, UnsupportedError
from flyte_ray.storage.filesystems import PART, locate
from flyte_ray.storage.local import appearing, local_path
from flyte_ray.storage.patient import PatientStore
from flyte_ray.storage.providers import Options, protocol_of
from flyte_ray.storage.remote import RemoteStore
from flyte_ray.storage.s3 import complete_upload, send_part
from flyte_ray.storage.store import Store
from flyte_ray.storage.trouble import is_missing_bucket, told

UNDER_WAY: Final = 4
"""Parts that are sent while the next one is filled."""
PARTS_OF_A_LENGTH: Final = 1_000
"""After so many parts they get longer by one length: S3 allows 10,000."""
Ask = Callable[[Callable[[], Any]], Any]
"""Carries out a request, if need be again and again."""


@contextlib.contextmanager
def writing(store: Store, key: str) -> Iterator[IO[bytes]]:
    """Yield what an object is written to, which appears when the block ends without an error."""
    inner, ask = (store.store, store.patience.ask) if isinstance(store, PatientStore) else (store, _once)
    if isinstance(inner, RemoteStore) and protocol_of(inner.uri) == "s3":
        with _parts(f"{inner.uri}/{key}", inner.options, ask) as file:
            yield file
        return
    with tempfile.NamedTemporaryFile(prefix="flyte-ray-") as spool:
        yield spool.file
        spool.flush()
        store.put_file(key, spool.name)


@contextlib.contextmanager
def writing_to(uri: str, options: Options) -> Iterator[IO[bytes]]:
    """Yield what is written to a path or URL of the user's, where it appears when the block ends without an error.

    Raises:
        StoreError: It cannot be written.

    """
    path = local_path(uri)
    if path is not None:
        with appearing(path) as temporary, open(temporary, "wb") as file:
            yield file
    elif protocol_of(uri) == "s3":
        with _parts(uri, options, _once) as parts:
            yield parts
    else:
        with tempfile.NamedTemporaryFile(prefix="flyte-ray-") as spool:
            yield spool.file
            spool.flush()
            fs, there = locate(uri, options)
            told("write", uri, lambda: fs.put_file(spool.name, there))


@contextlib.contextmanager
def in_mode(file: Any, mode: str, encoding: str = "utf-8") -> Iterator[IO[Any]]:
    """Yield what bytes, or with `w` and `wt` text, are written to."""
    if "b" in mode:
        yield file
        return
    text = io.TextIOWrapper(file, encoding, newline="", write_through=True)
    try:
        yield text
    finally:
        if not text.closed:
            text.detach()  # else it closes what it wraps


def is_for_writing(mode: str) -> bool:
    """Tell whether a file is opened to be written anew, and not to be read.

    Raises:
        UnsupportedError: It is neither.

    """
    if mode not in ("rb", "r", "rt", "wb", "w", "wt"):
        raise UnsupportedError(
            f"A file is opened with mode 'rb', 'r', 'wb' or 'w', got {mode!r}. Stored files are written as a whole:"
            f" to add to one, read it and write another."
        )
    return mode.startswith("w")


def _once(call: Callable[[], Any]) -> Any:
    return call()


@contextlib.contextmanager
def _parts(uri: str, options: Options, ask: Ask) -> Iterator[Any]:
    fs, path = locate(uri, options)

    def request(call: Callable[[], Any]) -> Any:
        try:
            return call()
        except FileNotFoundError as error:
            if is_missing_bucket(error):
                raise
            raise StoreDamagedError(f"The store has dropped the parts that it had of {uri}: {error}.") from error

    writer = PartsWriter(fs, path, lambda call: ask(lambda: told("write", uri, lambda: request(call))))
    try:
        yield writer
        writer.commit()
    except BaseException:
        writer.discard()
        raise


class PartsWriter(io.BufferedIOBase):
    """Sends an object to S3 in parts while it is written; to close it decides nothing, see `commit` and `discard`."""

    def __init__(self, fs: Any, path: str, ask: Ask) -> None:
        """Begin an object at a path of an `S3FileSystem`."""
        self._fs, self._ask = fs, ask
        self._bucket, self._key, _ = fs.split_path(path)
        self._buffer = bytearray()
        self._length = 0
        self._upload: str | None = None
        self._etags: list[str] = []
        self._under_way: deque[tuple[Callable[[], str], Future[str]]] = deque()
        self._pool = ThreadPoolExecutor(UNDER_WAY, "flyte-ray-upload")

    def writable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """Bytes written so far."""
        return self._length

    def write(self, data: Any) -> int:
        """Take bytes; sends a part when there are enough of them, and waits where many are under way."""
        view = memoryview(data).cast("B")
        self._buffer += view
        self._length += len(view)
        while len(self._buffer) >= (length := self._part_length()):
            self._send(bytes(self._buffer[:length]))
            del self._buffer[:length]
        return len(view)

    def commit(self) -> None:
        """Have the object appear."""
        bucket, key, upload = self._bucket, self._key, self._upload
        if upload is None:
            body = bytes(self._buffer)
            self._ask(lambda: self._fs.call_s3("put_object", Bucket=bucket, Key=key, Body=body))
        else:
            if self._buffer:
                self._send(bytes(self._buffer))
            while self._under_way:
                self._settle()
            self._ask(lambda: complete_upload(self._fs, bucket, key, upload, self._etags))
        self._pool.shutdown()

    def discard(self) -> None:
        """Leave nothing behind, as far as the store can be reached."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        if self._upload is not None:
            with contextlib.suppress(Exception):
                self._fs.abort_mpu(self._bucket, self._key, self._upload)

    def _part_length(self) -> int:
        return PART * (1 + len(self._etags) // PARTS_OF_A_LENGTH)

    def _send(self, data: bytes) -> None:
        if self._upload is None:
            answer = self._ask(lambda: self._fs.call_s3("create_multipart_upload", Bucket=self._bucket, Key=self._key))
            self._upload = str(answer["UploadId"])
        if len(self._under_way) >= UNDER_WAY:
            self._settle()
        number = len(self._etags) + len(self._under_way) + 1
        upload = self._upload

        def send() -> str:
            return send_part(self._fs, self._bucket, self._key, upload, number, data)

        self._under_way.append((send, self._pool.submit(send)))

    def _settle(self) -> None:
        """Wait for the oldest part; if it failed it is sent again by who writes, who may wait for the store."""
        send, part = self._under_way.popleft()
        try:
            etag = part.result()
        except Exception:
            etag = self._ask(send)
        self._etags.append(etag)
