"""Wait for a store that does not answer, and say so.

Invariants: what was asked is asked again until it is answered, or whoever waits is told to stop; what is damaged is no
matter of waiting; a put that failed and has arrived all the same counts as made.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import IO, Final, TypeVar

from flyte_ray.errors import StoreDamagedError, StoreError
from flyte_ray.storage.providers import Options
from flyte_ray.storage.store import Store

T = TypeVar("T")

PAUSE_S: Final = 0.1
"""Before a store that failed is asked again; twice as long after each failure."""
LONGEST_S: Final = 2.0
"""Longest such pause."""
SLICE_S: Final = 0.1
"""Time between two looks whether there is still somebody who waits."""
LOUD: Final = 3
"""Failures of one question after which the log says that somebody waits."""
SLOW_S: Final = 5.0
"""How long an answer may take before that is worth a word."""
BATCH: Final = 500
"""Files that are sent again together where one of them failed."""
_log: Final = logging.getLogger("flyte_ray.store")


def _go_on() -> None:
    pass


def _unheard(reason: str | float | None) -> None:
    pass


class Patience:
    """What one run, or one slot, does while its store does not answer; safe to use from many threads."""

    def __init__(
        self,
        who: str,
        check: Callable[[], None] = _go_on,
        said: Callable[[str | None], None] = _unheard,
        waited: Callable[[float], None] = _unheard,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Wait as long as it takes.

        Args:
            who: Who waits, for the log: `run r1`.
            check: Called on the waiting thread every `SLICE_S`; raises where that shall wait no longer.
            said: Called with the reason when waiting begins, and with None when nobody waits any more.
            waited: Called on the waiting thread with the seconds for which it has waited, when that is over.
            clock: Gives seconds.
            sleep: Passes them.

        """
        self._who, self._check, self._said, self._waited = who, check, said, waited
        self._clock, self._sleep = clock, sleep
        self._lock = threading.Lock()
        self._waiting = 0
        self._error: str | None = None
        self._asked: dict[int, float] = {}
        self._until: float | None = None

    @property
    def reason(self) -> str | None:
        """Why the store does not answer at the moment; None if it does."""
        if self._error is None and self._asked:
            slow_s = self._clock() - min(list(self._asked.values()), default=self._clock())
            return f"it has not answered for {slow_s:.0f} s" if slow_s > SLOW_S else None
        return self._error

    def limit(self, seconds: float) -> None:
        """Have those who wait, also from now on, get the store's error when it has not answered after so long."""
        self._until = self._clock() + seconds

    def ask(self, call: Callable[[], T]) -> T:
        """Call until that raises no `StoreError`; it may be called any number of times.

        Raises:
            StoreDamagedError: Asking again would not help.
            StoreError: The limit is over.

        """
        thread, begun, failures = threading.get_ident(), self._clock(), 0
        self._asked[thread] = begun
        try:
            while True:
                try:
                    return call()
                except StoreDamagedError:
                    raise
                except StoreError as error:
                    failures += 1
                    self._wait(error, failures, begun)
        finally:
            self._asked.pop(thread, None)
            if failures:
                self._end(failures, begun)

    def _wait(self, error: StoreError, failures: int, begun: float) -> None:
        with self._lock:
            self._waiting += failures == 1
            is_news, self._error = self._error is None, str(error)
        if is_news:
            self._said(str(error))
        if failures == LOUD:
            _log.warning("%s waits for its store: %s", self._who, error)
        until = self._clock() + min(PAUSE_S * 2 ** min(failures - 1, 10), LONGEST_S)
        while True:
            self._check()
            now = self._clock()
            if self._until is not None and now >= self._until:
                raise error
            if now >= until:
                return
            self._sleep(min(SLICE_S, until - now))

    def _end(self, failures: int, begun: float) -> None:
        seconds = self._clock() - begun
        self._waited(seconds)
        if failures >= LOUD:
            _log.warning("%s waits for its store no longer, after %.1f s", self._who, seconds)
        with self._lock:
            self._waiting -= 1
            if self._waiting:
                return
            self._error = None
        self._said(None)


def within(seconds: float, call: Callable[[], None], what: str) -> None:
    """Call on a thread beside, and wait no longer than that: a store may hang without a word.

    Args:
        seconds: To wait.
        call: What is called; if it has not returned by then it goes on, and nobody hears what comes of it.
        what: Said in the error, as in `the end of run r1 was not stored`.

    Raises:
        StoreError: It has not returned by then.

    """
    answer: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()

    def ask() -> None:
        try:
            call()
        except BaseException as error:  # raised where it is waited for
            answer.put(error)
        else:
            answer.put(None)

    threading.Thread(target=ask, name="flyte-ray-within", daemon=True).start()
    try:
        error = answer.get(timeout=seconds)
    except queue.Empty:
        raise StoreError(f"{what}: the store has not answered for {seconds:g} s.") from None
    if error is not None:
        raise error


@dataclass(frozen=True)
class PatientStore:
    """A store that is asked again while it does not answer."""

    store: Store
    patience: Patience

    @property
    def uri(self) -> str:
        """See `Store`."""
        return self.store.uri

    @property
    def options(self) -> Options:
        """See `Store`."""
        return self.store.options

    def put(self, key: str, data: bytes) -> None:
        """See `Store`."""
        self.patience.ask(lambda: self.store.put(key, data))

    def put_file(self, key: str, path: str) -> None:
        """See `Store`."""
        self.patience.ask(lambda: self.store.put_file(key, path))

    def put_files(self, files: Mapping[str, str]) -> None:
        """See `Store`; in batches, so that one that fails does not have all sent again."""
        left = iter(files.items())
        while batch := dict(islice(left, BATCH)):
            self.patience.ask(partial(self.store.put_files, batch))

    def put_written(self, key: str, write: Callable[[IO[bytes]], object]) -> None:
        """See `Store`."""
        self.patience.ask(lambda: self.store.put_written(key, write))

    def put_named(self, prefix: str, write: Callable[[IO[bytes]], object], name: Callable[[], str]) -> str:
        """See `Store`."""
        return self.patience.ask(lambda: self.store.put_named(prefix, write, name))

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """See `Store`; after a failure it counts as ours if it holds our bytes."""
        failed = False

        def put() -> bool:
            nonlocal failed
            try:
                return self.store.put_if_absent(key, data) or (failed and self.store.get(key) == data)
            except StoreError:
                failed = True
                raise

        return self.patience.ask(put)

    def get(self, key: str) -> bytes:
        """See `Store`."""
        return self.patience.ask(lambda: self.store.get(key))

    def exists(self, key: str) -> bool:
        """See `Store`."""
        return self.patience.ask(lambda: self.store.exists(key))

    def keys(self, prefix: str) -> list[str]:
        """See `Store`."""
        return self.patience.ask(lambda: self.store.keys(prefix))

    def delete(self, keys: Sequence[str]) -> None:
        """See `Store`."""
        self.patience.ask(lambda: self.store.delete(keys))
