"""`errata demo`, the story: ask, edit, ask again, ask in other words, ask what must not change.

Talks to a running server through the client, like anybody. Knows nothing of processes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field

from rich.console import Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from errata.answers import Answer, RouteKind
from errata.client import Client
from errata.errors import ClientError
from errata.records import to_record
from errata.show import Screen, one_line
from errata.show_route import route_note

SUBJECT = "Danielle Darrieux"
CLOZE = "The mother tongue of Danielle Darrieux is"
FORMER, TARGET = "French", "English"
PARAPHRASES = (
    "What is the mother tongue of Danielle Darrieux?",
    "Danielle Darrieux grew up speaking",
)
UNTOUCHED = (
    "The mother tongue of Jean Gabin is",
    "Danielle Darrieux was born in",
)
MAX_TOKENS = 16
EDIT_ID = "darrieux-mother-tongue"
KEEP_RUNNING = (
    ("make serve", "keeps a server running on 127.0.0.1:50051"),
    ("errata serve", "the same with flags: --model, --device ..."),
    ("python server.py", "the same without the command line"),
    ('errata generate "..."', "asks it; also chat, explain, edit add ..."),
)

Ask = Callable[[str], str]
"""Asks the person at the terminal for a line; "" when there is none to have."""


@dataclass(slots=True, kw_only=True)
class Story:
    """The demo on one server; `answers` keeps what was answered, in order."""

    client: Client
    screen: Screen
    answers: list[Answer] = field(default_factory=list)

    def tell(self, ask: Ask | None) -> None:
        """Plays all of it; `ask` is None when nobody is there to type."""
        self._heading("1", "Ask the frozen model")
        self.ask(CLOZE)
        self._heading("2", "Correct it: one edit, no training, no restart")
        self.edit(SUBJECT, CLOZE, TARGET, former=FORMER, edit_id=EDIT_ID)
        self._heading("3", "Ask again, and in other words")
        for prompt in (CLOZE, *PARAPHRASES):
            self.ask(prompt)
        self._heading("4", "Ask what must not change: a neighbour, another fact")
        for prompt in UNTOUCHED:
            self.ask(prompt)
        if ask is not None:
            self._heading("5", "Your turn: a fact of your own (Enter skips)")
            while self.own_fact(ask):
                pass

    def ask(self, prompt: str) -> Answer:
        """Asks, and shows answer, route, edit, score and time on one line."""
        answer = self.client.generate(prompt, max_tokens=MAX_TOKENS, stop=["\n"])
        self.answers.append(answer)
        if self.screen.json:
            self.screen.record({"prompt": prompt, **to_record(answer)})
        else:
            self.screen.line(_answer_lines(prompt, answer))
        return answer

    def edit(
        self, subject: str, prompt: str, target: str, *, former: str = "", edit_id: str = ""
    ) -> None:
        """Adds an edit and shows it."""
        written = self.client.create_edit(
            subject=subject,
            prompt=prompt,
            target=target,
            former=former or None,
            edit_id=edit_id,
            on_conflict="supersede",
            author="demo",
        )
        if self.screen.json:
            self.screen.record(written)
            return
        line = Text("   ").append(one_line(prompt)).append("  ")
        line.append(one_line(target), "bold green")
        line.append(f"\n     added as {written.id}, durable at sequence {written.sequence}", "dim")
        self.screen.line(line)

    def own_fact(self, ask: Ask) -> bool:
        """Takes one fact from the person; False when they have had enough."""
        subject = ask("   Somebody or something: ")
        if not subject:
            return False
        prompt = ask(f"   A sentence about {subject}, up to the answer: ")
        target = ask("   The answer that should hold from now on: ") if prompt else ""
        if not target:
            return False
        try:
            self.ask(prompt)
            self.edit(subject, prompt, target)
            self.ask(prompt)
            if again := ask("   The same in other words (Enter skips): "):
                self.ask(again)
        except ClientError as error:
            self.screen.line(f"   {error.message}", style="yellow")
        return True

    def _heading(self, number: str, text: str) -> None:
        if not self.screen.json:
            self.screen.line()
            self.screen.line(Text(f" {number} ", "bold reverse").append(f" {text}", "bold"))


def ask_person() -> Ask | None:
    """Returns how to ask the person at the terminal; None when there is none."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return None

    def ask(question: str) -> str:
        try:
            return input(question).strip()
        except EOFError:
            return ""

    return ask


def _answer_lines(prompt: str, answer: Answer) -> Text:
    """Prompt and answer, and under them which way it went: route, edit, score, time."""
    style = "bold green" if answer.route is RouteKind.EDITED else "bold blue"
    lines = Text("   ").append(one_line(prompt)).append("  ")
    lines.append(one_line(answer.text) or "(nothing)", style).append("\n     ")
    return lines.append_text(route_note(answer.provenance, answer.timings, statements=False))


def closing(seconds: float) -> Panel:
    """Says how to keep a server running."""
    grid = Table.grid(padding=(0, 3, 0, 0))
    for command, meaning in KEEP_RUNNING:
        grid.add_row(Text(command, "bold"), meaning)
    head = Text(f"That took {seconds:.0f} s; its memory is gone again. To keep one:", "dim")
    return Panel(Group(head, Text(), grid), expand=False, border_style="dim")
