"""From the edits of a namespace to what an editor is given. Reads one snapshot; changes nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from memory.paging import Matcher
from memory.plans import says
from memory.record import Edit, EditState
from memory.snapshot import MemorySnapshot
from runtime.consolidation.contract import Fact
from runtime.consolidation.operations import JobRequest
from runtime.consolidation.phrasebook import PhraseBook
from runtime.consolidation.probes import given_paraphrases

PARAPHRASE_LABEL = "paraphrase"  # Labels paraphrase, paraphrase-2 ... hold prompts of the caller's.


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The edits of a job, and those that no editor can write."""

    facts: tuple[Fact, ...]
    former: tuple[str, ...]  # Held by the edition that is active now.
    left_out: tuple[str, ...]  # Their prompt names the subject in no words that are known.


def select(snapshot: MemorySnapshot, request: JobRequest, book: PhraseBook) -> Selection:
    """Returns the edits in force that the request means. Raises NotFound for the namespace.

    What the active edition holds is always among them: an edition is computed from the model as
    published, so one without them would unlearn them.
    """
    matcher, named = Matcher(request.edit_filter), set(request.edit_ids)
    facts: list[Fact] = []
    former: list[str] = []
    left_out: list[str] = []
    for _, edit in snapshot.edits_from(request.namespace, 0):
        held = edit.state is EditState.CONSOLIDATED
        wanted = edit.id in named if named else matcher.matches(edit)
        if not held and not (wanted and edit.state is EditState.ACTIVE):
            continue
        fact = fact_of(edit, book)
        if fact is None:
            left_out.append(edit.id)
            continue
        facts.append(fact)
        if held:
            former.append(edit.id)
    return Selection(facts=tuple(facts), former=tuple(former), left_out=tuple(left_out))


def fact_of(edit: Edit, book: PhraseBook) -> Fact | None:
    """Returns the edit as editors see it; None when its prompt has neither subject nor alias."""
    mention = next(
        (
            found.group(0)
            for name in (edit.subject, *edit.aliases)
            if (found := re.search(re.escape(name), edit.prompt, re.IGNORECASE))
        ),
        None,
    )
    if mention is None:
        return None
    own = [
        text
        for key, text in edit.labels
        if (key == PARAPHRASE_LABEL or key.startswith(f"{PARAPHRASE_LABEL}-")) and mention in text
    ]
    known = given_paraphrases(book, mention, edit.prompt)
    return Fact(
        edit_id=edit.id,
        revision=edit.revision,
        subject=mention,
        prompt=edit.prompt,
        target=edit.target,
        former=edit.former,
        paraphrases=tuple(dict.fromkeys([*own, *known])),
    )


def changed_since(snapshot: MemorySnapshot, request: JobRequest, facts: tuple[Fact, ...]) -> bool:
    """Whether a fact is no longer in force or says something else than when it was selected."""
    revisions: Mapping[str, Fact] = {fact.edit_id: fact for fact in facts}
    for edit_id, fact in revisions.items():
        known = snapshot.revisions(request.namespace, fact.edit_id)
        now = snapshot.get(request.namespace, fact.edit_id)
        then = next((one for one in known if one.revision == fact.revision), None)
        if now is None or then is None or edit_id != now.id:
            return True
        if now.state not in {EditState.ACTIVE, EditState.CONSOLIDATED} or says(now) != says(then):
            return True
    return False
