"""When a slot lends its CPU: Ray starts a process for whom it lends to, and that costs the machine a second."""

from __future__ import annotations

from typing import Any, cast

from flyte_ray.ledger.messages import Work
from flyte_ray.runtime.execution import Execution
from flyte_ray.runtime.standing import lend_after_s


def execution(*, needs_others: bool) -> Execution:
    work = Work("a1", "a0", 0, "env.task@1", "{}", None, None, False)
    return Execution(work, cast("Any", None), needs_others=needs_others)


def test_a_slot_whose_children_may_come_to_itself_lends_later_than_one_that_needs_others() -> None:
    own, others = execution(needs_others=False), execution(needs_others=True)
    assert lend_after_s([own], takes_more=True) > lend_after_s([own, others], takes_more=True)


def test_a_slot_in_which_nothing_more_may_begin_lends_early() -> None:
    own = execution(needs_others=False)
    assert lend_after_s([own], takes_more=False) < lend_after_s([own], takes_more=True)


def test_a_slot_that_has_nothing_is_about_to_hear_and_lends_later() -> None:
    assert lend_after_s([], takes_more=True) == lend_after_s([execution(needs_others=False)], takes_more=True)
