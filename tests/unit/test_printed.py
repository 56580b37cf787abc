"""What is told of what an attempt prints, and how it reads."""

from __future__ import annotations

from flyte_ray.ledger.events import LOGGED, Event
from flyte_ray.ledger.printing import order_pieces, write_printed
from flyte_ray.runtime.printed import BURST, LAST, PER_S, Printed


def event(attempt: int, start: int, text: str, at_s: float = 0.0) -> Event:
    place = f'{{"from":{start},"to":{start + len(text)}}}'
    return Event(LOGGED, int(at_s * 1e6), "a0", attempt, body=text, context=place)


def test_all_that_is_printed_is_told_in_its_order_once() -> None:
    printed = Printed(0.0)
    printed.pieces.extend(["one\n", "two\n"])
    assert printed.take(0.2) == (0, "one\ntwo\n")
    assert printed.take(0.4) is None
    printed.pieces.append("three\n")
    assert printed.end() == (8, "three\n")
    assert printed.end() is None


def test_an_attempt_that_prints_without_end_is_told_little_of_it_and_the_last_of_it() -> None:
    printed, line = Printed(0.0), "x" * 99 + "\n"
    told, now = [], 0.0
    for _ in range(600):
        now += 0.2
        printed.pieces.extend([line] * 100)  # 50 kB each second
        told.append(printed.take(now))
    known = sum(len(each[1]) for each in told if each)
    assert BURST < known <= BURST + now * PER_S
    assert all(each[1].startswith(line) for each in told if each), "nothing begins within a line"
    printed.pieces.append("the end\n")
    last = printed.end()
    assert last is not None
    assert last[1].endswith(f"{line}the end\n") and LAST - len(line) < len(last[1]) <= LAST
    assert last[0] + len(last[1]) == 600 * 100 * len(line) + len("the end\n")
    events = [event(0, *each) for each in [*told, last] if each]
    assert write_printed(order_pieces(events)).endswith(f" characters left out]\n{last[1]}")


def test_what_was_not_told_is_kept_until_it_may_be() -> None:
    printed = Printed(0.0)
    printed.pieces.append("x" * BURST)
    assert printed.take(0.0) == (0, "x" * BURST)
    printed.pieces.append("y" * 10)
    assert printed.take(0.5) == (BURST, "y" * 10)
    printed.pieces.append("z" * 2000)
    assert printed.take(0.6) is None and printed.has_more
    start, text = printed.take(10.0) or (0, "")
    assert (start, text) == (BURST + 10, "z" * 2000)
    assert not printed.has_more


def test_what_was_left_out_is_marked_and_what_was_told_twice_reads_once() -> None:
    events = [event(0, 0, "one\n"), event(0, 1004, "two"), event(0, 1004, "two"), event(1, 0, "again\n")]
    assert write_printed(order_pieces(events)) == "one\n[1,000 characters left out]\ntwoagain\n"


def test_pieces_that_arrive_late_stand_in_their_place() -> None:
    assert write_printed(order_pieces([event(0, 4, "two\n"), event(0, 0, "one\n")])) == "one\ntwo\n"


def test_lines_begin_with_their_time_where_that_is_wanted() -> None:
    pieces = order_pieces([event(0, 0, "one\ntw", at_s=1.5), event(0, 6, "o\n\nfour\n", at_s=2.0)])
    assert write_printed(pieces, with_times=True).splitlines() == [
        "1970-01-01T00:00:01.500+00:00 one",
        "1970-01-01T00:00:01.500+00:00 two",
        "1970-01-01T00:00:02.000+00:00 ",
        "1970-01-01T00:00:02.000+00:00 four",
    ]


def test_text_of_the_first_format_has_no_numbers() -> None:
    events = [Event(LOGGED, 0, "a0", number, body="tried\n") for number in (0, 1)]
    assert write_printed(order_pieces(events)) == "tried\ntried\n"
