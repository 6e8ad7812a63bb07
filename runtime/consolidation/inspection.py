"""What is told of editions: whether each can be used, and which one answers a namespace's requests.

Nothing is loaded for it. An edition that is in use goes on answering although its file was damaged
since: its weights are in memory, until the server ends.
"""

from __future__ import annotations

from dataclasses import dataclass

from memory.errors import EditionUnusable, NotFound
from memory.record import EDITION_BASE, Namespace
from runtime.consolidation.edition import EditionRecord, EditionState
from runtime.consolidation.editions import Editions
from runtime.consolidation.store import check_base


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One edition of a namespace as it stands."""

    record: EditionRecord  # Number and namespace alone where its own file cannot be read.
    state: EditionState
    problem: str  # Why it is not sound; empty when it is.
    active: bool  # What the log says.
    answers: bool  # What requests get.


@dataclass(frozen=True, slots=True, kw_only=True)
class Answering:
    """Which edition answers a namespace."""

    active: int
    edition: int  # 0 when the active one cannot be used.
    problem: str  # Of the active one, also when it still answers.


def numbers(editions: Editions, namespace: Namespace) -> tuple[int, ...]:
    """Returns the numbers of all editions, newest first, the active one although it is missing.

    Some may be another namespace's; `look` says which. Raises NotFound for the namespace.
    """
    known = {EDITION_BASE, editions.active(namespace), *editions.store.numbers()}
    return tuple(sorted(known, reverse=True))


def look(editions: Editions, namespace: Namespace, number: int, *, thorough: bool = True) -> Seen:
    """Returns an edition as it stands. Without `thorough` a file that nobody read is not hashed.

    Raises NotFound, also for another namespace's edition.
    """
    answering = answering_of(editions, namespace)
    active = answering.active == number
    try:
        record = editions.record(namespace, number)
    except (NotFound, EditionUnusable) as error:
        if not _may_own(editions, namespace, number, error):
            raise
        problem = str(error) if isinstance(error, EditionUnusable) else _missing(number)
        record, state = editions.unreadable(namespace, number), EditionState.DAMAGED
    else:
        state, problem = _condition(editions, record, thorough=thorough)
    return Seen(
        record=record,
        state=state,
        problem=problem,
        active=active,
        answers=answering.edition == number,
    )


def answering_of(editions: Editions, namespace: Namespace) -> Answering:
    """Returns which edition answers a namespace's requests now. Raises NotFound."""
    active = editions.active(namespace)
    try:
        record = editions.record(namespace, active)
        _, problem = _condition(editions, record, thorough=True)
    except EditionUnusable as error:
        problem = str(error)
    except NotFound:
        problem = _missing(active)
    usable = not problem or editions.holds(active)
    return Answering(active=active, edition=active if usable else EDITION_BASE, problem=problem)


def _condition(
    editions: Editions, record: EditionRecord, *, thorough: bool
) -> tuple[EditionState, str]:
    if record.number == EDITION_BASE:
        return EditionState.SOUND, ""
    try:
        check_base(record, editions.fingerprint)
    except EditionUnusable as error:
        return EditionState.OTHER_WEIGHTS, str(error)
    if fault := editions.store.fault(record, thorough=thorough):
        return EditionState.DAMAGED, fault
    refused = editions.refusal(record.number)
    return (EditionState.REFUSED, refused) if refused else (EditionState.SOUND, "")


def _may_own(editions: Editions, namespace: Namespace, number: int, error: Exception) -> bool:
    """Whether an edition that cannot be read is the namespace's: the log says so, or nobody does.

    One that is not there at all is told of where the log has it active.
    """
    if isinstance(error, NotFound):
        missing = number not in editions.store.numbers()
        return missing and editions.active(namespace) == number
    owners = editions.owners(number)
    return not owners or namespace in owners


def _missing(number: int) -> str:
    return (
        f"edition {number} is damaged: its folder {number} is missing; put it back from a backup, "
        "or consolidate again"
    )
