"""Run actions in one slot: sync ones on its main thread, async ones on a loop beside it, one at a time.

Invariants: one action runs the user's code at a time, others only wait; of the sync stack only the top can go on; a
main thread with nothing to run sits in `Port.park`, which lends its CPU; whatever makes it runnable rings.
Knows nothing of values (`runtime/controller.py`) and of how messages travel (`Port`).
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable

from flyte_ray.ledger import events as kinds
from flyte_ray.ledger.messages import Bye, Call, Cancel, Drop, Held, Item, Outcome, Reply, Result, TaskRef, Work
from flyte_ray.runtime.exchange import Exchange, Port
from flyte_ray.runtime.execution import Execution, Runner, called_in
from flyte_ray.runtime.failures import Aborted, Displaced
from flyte_ray.runtime.interrupt import SIGNAL_S, Interrupter
from flyte_ray.runtime.loop import LoopThread
from flyte_ray.runtime.mailbox import Mailbox
from flyte_ray.runtime.ready import Ready
from flyte_ray.runtime.stack import Stack
from flyte_ray.runtime.standing import Standing, lend_after_s, stand
from flyte_ray.runtime.waits import Pending, Waits

Asked = tuple[TaskRef, Call, Pending]
"""A call of a child, its task, and who waits for it."""


class Slot:
    """The scheduler inside a slot."""

    def __init__(
        self, name: str, run: str, shape: str, port: Port, runner: Runner, about: dict[str, str], concurrency: int = 1
    ) -> None:
        """Prepare to run so many actions at a time; `serve` runs it on the calling thread."""
        self.name = name
        self.shape = shape
        self.may_tell = False
        self.stacks, self.begun = True, 0
        """Whether anything may run here while something waits, which bounded memory forbids; attempts begun here."""
        self._port, self._runner = port, runner
        # Taken by itself where nothing is waited for: a condition's own way in and out is written in Python.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._exchange = Exchange(name, run, shape, about, self._lock, port)
        self._ready = Ready(self._exchange.post)
        self._executions: dict[str, Execution] = {}
        self.stack = Stack()
        self._waits = Waits()
        self._refs = self._exchange.refs
        self._concurrency = concurrency
        self._active = 0
        """Executions that run the user's code."""
        self._ended = False
        self._loop = LoopThread()
        self._base = contextvars.copy_context()
        self._interrupter = Interrupter(self.stack)

    # The main thread

    def serve(self) -> None:
        """Run actions until the ledger says bye; the calling thread is the slot's main thread."""
        self.stack.settle()
        speaker = threading.Thread(target=self._exchange.run, args=(self,), name="flyte-ray-exchange", daemon=True)
        speaker.start()
        try:
            with self._interrupter:
                self._run_until(lambda: self._ended)
        finally:
            with self._lock:
                self._ended = True
                self._exchange.close()
            speaker.join()
            self._loop.stop()

    def _run_until(self, done: Callable[[], object]) -> None:
        while True:
            with self._lock:
                while True:
                    if done():
                        return
                    following = self._next()
                    if following and not self._refs[following.task].is_async:
                        if not self.stack.is_full:
                            self._active += 1
                            work = self._ready.take()
                            break
                        self._ready.hand_back()
                    self._rest(done)
            self._run_sync(work)

    def _rest(self, done: Callable[[], object]) -> None:
        if self._active or self._ready or not self._port.lends:
            self._changed.wait(SIGNAL_S)  # one that comes just before the wait does not end it
            return
        after_s = lend_after_s(self._executions.values(), takes_more=self.stacks and not self.stack.is_full)
        if self._changed.wait(after_s) or self._active or self._ready or done():
            return
        self._exchange.parked = True
        # Taken with the lock held: a bell that rings from here on supersedes this message, so that parking on it ends.
        ticket = self._port.latest()
        self._changed.release()
        try:
            self._port.park(ticket)
        finally:
            self._changed.acquire()
            self._exchange.parked = False

    def _next(self) -> Work | None:
        return None if self._active >= self._concurrency else self._ready.next

    def _run_sync(self, work: Work) -> None:
        if (execution := self._begin(work)) is None:
            return
        self.stack.push(execution)
        try:
            result = self._base.copy().run(self._runner.run, execution)
        except Exception as error:
            result = self._runner.failed(work, error)
        finally:
            self.stack.pop()
        self._finish(execution, result)

    def _begin(self, work: Work) -> Execution | None:
        try:
            execution = self._runner.begin(work, self._refs[work.task])
        except BaseException as error:
            # The task's module does not import here, or holds no such task.
            with self._lock:
                self._active -= 1
                self._exchange.post(self._runner.failed(work, error))
                self._advance()
            return None
        with self._lock:
            self.begun += 1
            self._executions[work.action] = execution
            if self._refs[work.task].is_timed or work.watched:
                self._exchange.flush()  # its time runs from now on; its code may leave us no chance to say so
        return execution

    def _finish(self, execution: Execution, result: Result) -> None:
        with self._lock:
            del self._executions[execution.id]
            self._waits.forget(execution)
            if not execution.waiting:
                self._active -= 1
            self._exchange.post(result)
            self._ready.move()
            if result.kind == kinds.SUCCEEDED:
                self._resolve(execution.id, result.kind, result.body)
            self._advance()
            # While this thread has more to run, who waits is woken with the next message, for many ends at once.
            goes_on = not self._active and self._is_next_here()
        self._exchange.speak(self)
        if not goes_on:
            self.deliver()

    # The loop

    def _start_async(self, work: Work) -> None:
        if (execution := self._begin(work)) is not None:
            execution.aio = self._loop.create_task(self._run_async(execution), self._base.copy())

    async def _run_async(self, execution: Execution) -> None:
        if execution.cancelled is not None and execution.aio is not None:
            execution.aio.cancel()
        try:
            result = await self._runner.run_async(execution)
        except BaseException as error:
            result = self._runner.failed(execution.work, error)
        self._finish(execution, result)

    # What the user's code asks for

    def active(self) -> tuple[Work, TaskRef] | None:
        """Return what runs the user's code now, with its task."""
        with self._lock:
            work = next((each.work for each in self._executions.values() if not each.waiting), None)
            return (work, self._refs[work.task]) if work else None

    def tell_last(self, *results: Result) -> None:
        """Tell that this process ends, and with what results; returns when that is heard. The caller ends it."""
        with self._lock:
            self._exchange.tell_last(results)

    def is_loop(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Whether a loop is the one that runs this slot's async actions."""
        return loop is self._loop.loop

    def ask(self, execution: Execution, calls: list[Asked], *, pauses: bool, awaited: bool = True) -> None:
        """Queue calls of children, and start here those that are told.

        Args:
            execution: The parent.
            calls: Children with their tasks.
            pauses: The parent is async and does nothing but wait from here on.
            awaited: The parent waits for them from here on; else it begins to with `follow`.

        """
        with self._lock:
            for ref, call, pending in calls:
                self._exchange.learn(call.task, ref)
                self._exchange.post(call)
                if ref.shape != self.shape:
                    execution.needs_others = True
                self._waits.add(execution, pending)
                if awaited:
                    execution.open_calls[pending.id] = pending
                if call.told:
                    work = (call.action, call.parent, 0, call.task, call.inputs, call.group, call.context, False)
                    self._ready.add_first(Work(*work))
            if pauses and execution.open_calls and not execution.waiting:
                execution.pause()
                self._active -= 1
            self._advance()
        self._exchange.speak(self)

    def follow(self, execution: Execution, asked: Pending, follower: Pending) -> None:
        """Have `follower` end with a child that was asked for before; at once if that has ended."""
        with self._lock:
            follower.kind, follower.body = asked.kind, asked.body
            if not asked.kind:
                asked.followers = [each for each in asked.followers if each.id in execution.open_calls]
                asked.followers.append(follower)
                execution.open_calls[follower.id] = follower

    def wait(self, execution: Execution, pending: Pending) -> None:
        """Block until a child has ended; the main thread runs other actions meanwhile.

        Raises:
            Aborted: The waiting action was aborted.
            Displaced: It waits for a signal, and something beneath it on the stack could go on.

        """
        if not self.stack.is_top(execution):
            arrived = threading.Event()
            with self._lock:
                pending.deliver = arrived.set
                ready = bool(pending.kind)
            if not ready:
                arrived.wait()
        elif not pending.kind:
            below = self.stack.is_full
            with self._lock:
                self.stack.is_full = execution.for_signal or self.stack.is_deep
                execution.pause(pending)
                self._active -= 1
                self._advance()
            try:
                self._run_until(
                    lambda: pending.kind or execution.cancelled is not None or self._ended or self.stack.delays
                )
            finally:
                with self._lock:
                    self.stack.is_full = below
                    self._active += 1
                    execution.displaced = not pending.kind and self.stack.delays
                    execution.go_on()
                    if execution.work.watched:
                        self._exchange.flush()
        if execution.displaced:
            raise Displaced
        if not pending.kind or execution.cancelled is not None:
            raise Aborted(execution.cancelled or "its run has ended")

    def drop(self, execution: Execution, pending: Pending, reason: str | None) -> None:
        """Give up a child: it and all below it are aborted; without a reason it goes on, and only the wait is over."""
        with self._lock:
            if not pending.kind:
                self._waits.discard(pending.id)
                if reason is not None:
                    self._exchange.post(Drop(pending.id, reason))
                self._settle(execution, pending)
                self._advance()

    def post(self, item: Item) -> None:
        """Tell the ledger something that nobody waits for."""
        with self._lock:
            self._exchange.post(item)

    def say_waits(self, reason: str | None) -> None:
        """Tell the ledger why the store does not answer, None that it does again."""
        with self._lock:
            self._exchange.say_waits(reason or "")

    # The conversation

    def hear(self, reply: Reply, seq: int) -> None:
        """Take in the reply to message number `seq`."""
        with self._lock:
            self.may_tell = reply.may_tell
            for order in self._exchange.hear(reply, seq):
                if type(order) is Work:
                    self._ready.add(order)
                elif type(order) is Outcome:
                    self._resolve(order.action, order.kind, order.body)
                elif type(order) is Cancel:
                    self._cancel(order)
                elif type(order) is Bye:
                    self._end()
            self._advance()
            self._changed.notify_all()
        self._exchange.speak(self)
        self.deliver()

    def lost(self) -> None:
        """Take note that a message was not answered."""
        with self._lock:
            self._exchange.lost()

    def deliver(self) -> None:
        """Wake who waits for what has ended here."""
        self._waits.deliver(self._changed, self._loop)

    # What the conversation asks, with the lock held

    def is_hungry(self) -> bool:
        """Whether more could run here than runs, or waits to run; a slot that ends wants nothing more."""
        return self._active + len(self._ready) < self._concurrency and not self._ended

    def standing(self) -> Standing:
        """Say what this slot wants and what waits in it."""
        # Of several that run the last one is told, because what is told at its begin is told of that one.
        executions = list(self._executions.values())[:: 1 if self._concurrency == 1 else -1]
        return stand(
            executions,
            hungry=self.is_hungry(),
            active=self._active > 0,
            is_full=self.stack.is_full or bool(executions and not self.stacks),
            buried=bool(self.stack),
            ready=0 if self._ended or self._concurrency > 1 else len(self._ready),
        )

    def held(self, mail: Mailbox) -> Held:
        """Say what a restarted ledger must know."""
        works = [execution.work for execution in self._executions.values()] + list(self._ready)
        return Held(works, self._waits.names, mail.outcomes(), called_in(self._executions.values()))

    def stale_at(self) -> float | None:
        """When the work that waits here is to be handed back."""
        return self._ready.stale_at()

    def hand_back(self) -> None:
        """Hand back what waits behind an action that takes long."""
        if self._active and self._ready.is_stale:
            self._ready.hand_back()

    # Under the lock

    def _advance(self) -> None:
        """Start what can start; wake who has to act."""
        if self._executions and not (self.stacks or self._active):
            self._ready.hand_back()
        following = self._next()
        while following and self._refs[following.task].is_async:
            self._active += 1
            self._loop.call(self._start_async, self._ready.take())
            following = self._next()
        if not (self._active or self._is_next_here()):
            self._changed.notify_all()
            if self._ready:
                self._exchange.ring()
            else:
                self._exchange.wake()

    def _is_next_here(self) -> bool:
        """Whether the calling thread is the main thread and will run what is next."""
        following = self._next()
        return following is not None and self.stack.is_here and not self._refs[following.task].is_async

    def _resolve(self, child: str, kind: str, body: str) -> None:
        for execution, pending in self._waits.end(child, kind, body):
            self._settle(execution, pending)

    def _settle(self, execution: Execution, pending: Pending) -> None:
        execution.open_calls.pop(pending.id, None)
        if execution.is_async and execution.waiting and not execution.open_calls:
            execution.go_on()
            self._active += 1
            if execution.work.watched:
                self._exchange.hurry()
        self._exchange.ring()

    def _cancel(self, order: Cancel) -> None:
        self._ready.hand_back(order.action)
        execution = self._executions.get(order.action)
        if execution is not None and execution.cancelled is None:
            execution.cancelled = order.reason
            if execution.aio is not None:
                self._loop.call(execution.aio.cancel)
            else:
                self._interrupter.interrupt(execution)

    def _end(self) -> None:
        self._ended = True
        for name in self._executions:
            self._cancel(Cancel(name, "its run has ended"))
