"""Write messages and replies as bytes.

Items and orders travel as plain tuples with a number in front: a pickle of named tuples calls back into Python for
each of them, which for ten thousand actions costs more than all that the ledger does with them.
"""

from __future__ import annotations

import dataclasses
import pickle
from typing import Any, Final

from flyte_ray.ledger.messages import Bye, Call, Cancel, Drop, Log, Message, Outcome, Reply, Result, Return, Step, Work

_KINDS: Final[tuple[Any, ...]] = (Call, Result, Return, Drop, Work, Outcome, Cancel, Bye, Step, Log)
_NUMBERS: Final = {kind: number for number, kind in enumerate(_KINDS)}


def dump_message(message: Message) -> bytes:
    """Write a slot's message."""
    return pickle.dumps(dataclasses.replace(message, items=_flat(message.items)), 5)


def load_message(data: bytes) -> Message:
    """Read a slot's message."""
    message: Message = pickle.loads(data)
    message.items = _rebuilt(message.items)
    return message


def dump_reply(reply: Reply) -> bytes:
    """Write the ledger's reply."""
    return pickle.dumps(dataclasses.replace(reply, orders=_flat(reply.orders)), 5)


def load_reply(data: bytes) -> Reply:
    """Read the ledger's reply."""
    reply: Reply = pickle.loads(data)
    reply.orders = _rebuilt(reply.orders)
    return reply


def _flat(things: list[Any]) -> list[Any]:
    return [(_NUMBERS[type(thing)], tuple(thing)) for thing in things]


def _rebuilt(pairs: list[Any]) -> list[Any]:
    # `_make` does the same and counts the fields first.
    return [tuple.__new__(_KINDS[number], fields) for number, fields in pairs]
