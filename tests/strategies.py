"""Hypothesis strategies for the words of the memory."""

from __future__ import annotations

from hypothesis import strategies as st

from memory.record import EditDraft

NAMES = ("Ada Lovelace", "Zürich", "São Tomé", "Bo", "Space Needle", "李白")
TEMPLATES = ("The mother tongue of {} is", "Where is {}?", "{} was founded by")
TARGETS = ("French", "english", "English", "Wien", "東京")

printable = st.text(
    st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp", "Cn", "Co")), max_size=40
)
words = printable.filter(lambda text: any(character.isalnum() for character in text))


@st.composite
def drafts(draw: st.DrawFn, *, names: tuple[str, ...] = NAMES) -> EditDraft:
    """Draws a valid draft over few names, so that conflicts are common."""
    subject = draw(st.sampled_from(names))
    prompt = draw(st.sampled_from(TEMPLATES)).format(subject)
    return EditDraft(
        subject=subject,
        prompt=draw(st.sampled_from((prompt, prompt.upper(), f"{prompt}  "))),
        target=draw(st.sampled_from(TARGETS)),
        author=draw(st.sampled_from(("", "ada", "bo"))),
        labels=draw(st.sampled_from(((), (("topic", "people"),)))),
    )


@st.composite
def free_drafts(draw: st.DrawFn) -> EditDraft:
    """Draws a valid draft of any text that is taken."""
    subject = draw(words)
    return EditDraft(
        subject=subject,
        prompt=f"{draw(printable)} {subject} {draw(printable)}",
        target=draw(words),
        former=draw(st.none() | words),
        aliases=tuple(draw(st.lists(words, max_size=3))),
        author=draw(printable),
        source=draw(printable),
        labels=tuple(draw(st.dictionaries(words, printable, max_size=3)).items()),
    )
