"""From what people type to values: marked subjects, labels, states, times. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from errata.commands.outcome import UsageProblem
from errata.results import EditState

BRACED = re.compile(r"\{([^{}]+)\}")
SPAN = re.compile(r"(\d+(?:\.\d+)?)([smhd])")
SPAN_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def unbrace(prompt: str) -> tuple[str, str]:
    """Returns a prompt without its braces, and the subject that stood in them ("" for none)."""
    marked = BRACED.findall(prompt)
    if len(marked) > 1:
        raise UsageProblem(
            f"Braces mark the one subject, but {len(marked)} parts are in braces: "
            f"{', '.join(marked)}."
        )
    return (BRACED.sub(r"\1", prompt), marked[0]) if marked else (prompt, "")


def one_subject(given: str, marked: str) -> str:
    """Returns the subject that was given or marked. Raises UsageProblem for none or two."""
    if given and marked and given != marked:
        raise UsageProblem(f'--subject is "{given}" but the braces mark "{marked}"; give one.')
    if not given and not marked:
        raise UsageProblem(
            "What is the fact about? Mark the subject with braces, as in "
            '"The mother tongue of {Danielle Darrieux} is", or give --subject.'
        )
    return given or marked


def parse_labels(pairs: Iterable[str] | None) -> dict[str, str]:
    """Reads "key=value" pairs."""
    labels: dict[str, str] = {}
    for pair in pairs or ():
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise UsageProblem(f'A label is KEY=VALUE, such as ticket=4711; got "{pair}".')
        labels[key] = value
    return labels


def parse_states(names: Iterable[str] | None) -> tuple[EditState, ...]:
    """Reads the names of states; "all" stands for every one."""
    known = {state.value: state for state in EditState}
    states: list[EditState] = []
    for name in names or ():
        if name == "all":
            return tuple(EditState)
        if name not in known:
            raise UsageProblem(f'Unknown state "{name}"; known are {", ".join(known)} and all.')
        states.append(known[name])
    return tuple(states)


def parse_expiry(text: str, now: datetime | None = None) -> datetime | None:
    """Reads an instant (UTC when it names no zone) or a span from now; None for ""."""
    if not text:
        return None
    if span := SPAN.fullmatch(text):
        start = now or datetime.now(UTC)
        return start + timedelta(seconds=float(span[1]) * SPAN_S[span[2]])
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageProblem(
            f'"{text}" is no time: write 2030-01-31, 2030-01-31T12:00Z, or a span such as 30d.'
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
