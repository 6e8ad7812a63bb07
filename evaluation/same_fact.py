"""Whether an edit is about the very fact that a near neighbour asks for, by the data's own word.

CounterFact asks one record about Riga's twin city and edits Riga's twin city in another, in other
words. Whoever routes the first to the second is right, although the file calls it a neighbour. Two
things in a file tell: a neighbour's true answer, which is the edit's former one; and the wordings
of one relation, which stand together as edit prompt and neighbour in some record.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from evaluation.probes import Probe, Record
from memory.conflicts import normalise
from memory.record import EditDraft
from runtime.paths.forms import whole_words

SLOT = "{}"
NEIGHBOUR = "neighbour"


class SameFact:
    """Judges routes of neighbours. Immutable."""

    def __init__(self, records: Sequence[Record]) -> None:
        """Reads which wordings the records use for one relation."""
        wordings = {_wording(edit.prompt, edit.subject) for r in records for edit in r.edits}
        # Longest first: ", which is located in" is no "is located in" of a longer name.
        longest_first = sorted(wordings, key=lambda wording: (-len(wording), wording))
        self._together = frozenset(
            pair
            for record in records
            for told in record.edits
            for asked in _matched(record.probes, longest_first)
            for pair in _both_ways(_wording(told.prompt, told.subject), asked)
        )

    def __call__(self, probe: Probe, own: Iterable[EditDraft], hit: EditDraft) -> bool:
        """Whether `hit` is about the fact that the probe of a record with edits `own` asks for.

        The probe names the edit's subject, and its true answer is the edit's former one, or its
        wording stands beside the edit's in some record. What `own` says before it does not count.
        """
        asked = normalise(probe.prompt)
        for edit in own:
            asked = asked.removeprefix(normalise(f"{edit.prompt} {edit.target}")).lstrip(". ")
        if not _names(asked, hit.subject):
            return False
        if hit.former is not None and normalise(hit.former) in map(normalise, probe.answers):
            return True
        wordings = _wording(hit.prompt, hit.subject), _wording(asked, hit.subject)
        return wordings[0] == wordings[1] or wordings in self._together


def _matched(probes: Iterable[Probe], wordings: Sequence[str]) -> list[str]:
    """The wording of each neighbour among `wordings`, where one fits."""
    found = []
    for probe in probes:
        if probe.kind == NEIGHBOUR:
            text = normalise(probe.prompt)
            found += [wording for wording in wordings if _fits(text, wording)][:1]
    return found


def _fits(text: str, wording: str) -> bool:
    before, slot, after = wording.partition(SLOT)
    return (
        bool(slot)
        and len(text) > len(before) + len(after)
        and text.startswith(before)
        and text.endswith(after)
    )


def _wording(text: str, subject: str) -> str:
    return whole_words(normalise(subject)).sub(SLOT, normalise(text))


def _names(text: str, subject: str) -> bool:
    return whole_words(normalise(subject)).search(text) is not None


def _both_ways(one: str, other: str) -> tuple[tuple[str, str], tuple[str, str]]:
    return (one, other), (other, one)
