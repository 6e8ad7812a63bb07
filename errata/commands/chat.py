"""`errata chat`: a conversation on the terminal, with commands about edits and routes in it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

import typer

from errata.answers import Provenance
from errata.commands.options import (
    DEFAULT_ADDRESS,
    DEFAULT_NAMESPACE,
    DEFAULT_TIMEOUT_S,
    SAMPLING_PANEL,
    Address,
    AsJson,
    Namespace,
    Timeout,
)
from errata.commands.outcome import UsageProblem
from errata.commands.parse import unbrace
from errata.commands.session import connected
from errata.errors import ClientError
from errata.show import Screen
from errata.show_edits import show_written
from errata.show_route import route_note, show_explanation

if TYPE_CHECKING:
    from errata.client import Client

HELP = """\
/edit PROMPT => TARGET   adds an edit; mark the subject: /edit The capital of {France} is => Lyon
/explain [PROMPT]        shows every candidate for a prompt, or for what you said last
/route                   shows the route of the last answer again
/retire EDIT             takes an edit out of service
/clear                   forgets the conversation
/help, /quit             this text; the end (also Ctrl-D)"""


def chat(
    *,
    system: Annotated[
        str, typer.Option("--system", metavar="TEXT", help="The system's turn, said first.")
    ] = "",
    max_tokens: Annotated[
        int,
        typer.Option(
            "--max-tokens",
            "-m",
            min=1,
            metavar="N",
            help="New tokens per answer at most.",
            rich_help_panel=SAMPLING_PANEL,
        ),
    ] = 256,
    temperature: Annotated[
        float,
        typer.Option(
            "--temperature",
            "-t",
            metavar="T",
            help="0 (greedy) to 10.",
            rich_help_panel=SAMPLING_PANEL,
        ),
    ] = 0.0,
    namespace: Namespace = DEFAULT_NAMESPACE,
    address: Address = DEFAULT_ADDRESS,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
    as_json: AsJson = False,
) -> None:
    """Talks with the model; /edit, /explain and /route work in between.

    A model without a chat template gets each line as a prompt of its own.

    Examples:
      errata chat
      errata chat --system "Answer in one word." --temperature 0.7
    """
    screen = Screen.open(json=as_json)
    with connected(screen, address, namespace=namespace, timeout_s=timeout) as client:
        has_template = client.status().model.chat
        talk = Talk(
            client=client,
            screen=screen,
            has_template=has_template,
            system=system,
            max_tokens=max_tokens,
            temperature=temperature,
        )
        if not as_json and screen.is_terminal:
            kind = "" if has_template else " The model has no chat template: lines stand alone."
            screen.note(f"/help lists the commands, /quit ends.{kind}")
        for line in read_lines(screen):
            if not talk.take(line):
                return


def read_lines(screen: Screen) -> Iterator[str]:
    """Yields what is typed (with a prompt, on a terminal) or piped in, without empty lines."""
    interactive = sys.stdin.isatty() and screen.is_terminal
    while True:
        try:
            line = input("> " if interactive else "")
        except EOFError:
            return
        if line.strip():
            yield line.strip()


@dataclass(slots=True, kw_only=True)
class Talk:
    """One conversation: the turns so far and the last route."""

    client: Client
    screen: Screen
    has_template: bool
    system: str = ""
    max_tokens: int = 256
    temperature: float = 0.0
    turns: list[tuple[str, str]] = field(default_factory=list)
    last: Provenance | None = None

    def take(self, line: str) -> bool:
        """Carries out one line; False when it ends the talk. A failed line never ends it."""
        if line in ("/quit", "/exit"):
            return False
        commands: dict[str, Callable[[str], None]] = {
            "/edit": self._edit,
            "/explain": self._explain,
            "/route": self._route,
            "/retire": self._retire,
            "/clear": self._clear,
            "/help": lambda _: self.screen.note(HELP, style=""),
        }
        word, _, rest = line.partition(" ")
        try:
            if word.startswith("/"):
                commands.get(word, self._unknown)(rest.strip())
            else:
                self._say(line)
        except (ClientError, UsageProblem) as error:
            self.screen.note(f"Error: {error}", style="bold red")
        return True

    def _prompt(self, line: str) -> str | list[tuple[str, str]]:
        if not self.has_template:
            return line
        return self._after(self.turns, line)

    def _after(self, turns: list[tuple[str, str]], line: str) -> list[tuple[str, str]]:
        """The chat that ends with a line after these turns."""
        first = [("system", self.system)] if self.system else []
        return [*first, *turns, ("user", line)]

    def _last_prompt(self) -> str | list[tuple[str, str]]:
        """What was asked last, after the turns that stood before it; each line has its answer."""
        line = self.turns[-2][1]
        return self._after(self.turns[:-2], line) if self.has_template else line

    def _say(self, line: str) -> None:
        pieces: list[str] = []
        try:
            with self.client.stream(
                self._prompt(line), max_tokens=self.max_tokens, temperature=self.temperature
            ) as stream:
                for piece in stream:
                    pieces.append(piece)
                    if not self.screen.json:
                        self.screen.text(piece)
        except KeyboardInterrupt:  # Ends the answer, not the talk; what was said stays said.
            self.screen.text("\n")
            self.turns += [("user", line), ("assistant", "".join(pieces))]
            return
        answer = stream.answer
        self.last = answer.provenance
        self.turns += [("user", line), ("assistant", answer.text)]
        if self.screen.json:
            self.screen.record(answer)
            return
        self.screen.text("\n")
        self.screen.note(route_note(answer.provenance, answer.timings))

    def _edit(self, rest: str) -> None:
        prompt, arrow, target = rest.partition("=>")
        if not arrow or not target.strip():
            raise UsageProblem("Write /edit The capital of {France} is => Lyon")
        plain, subject = unbrace(prompt.strip())
        if not subject:
            raise UsageProblem(
                "What is the fact about? Mark the subject with braces: "
                "/edit The capital of {France} is => Lyon"
            )
        written = self.client.create_edit(
            subject=subject,
            prompt=plain,
            target=target.strip(),
            on_conflict="supersede",
        )
        if self.screen.json:
            self.screen.record(written)
        else:
            show_written(self.screen, written, dry_run=False)

    def _retire(self, rest: str) -> None:
        if not rest:
            raise UsageProblem("Write /retire and the edit's id (see the route line).")
        written = self.client.retire_edit(rest)
        if self.screen.json:
            self.screen.record(written)
        else:
            show_written(self.screen, written, dry_run=False)

    def _explain(self, rest: str) -> None:
        if not rest and not self.turns:
            raise UsageProblem("Nothing was said yet; write /explain and a prompt.")
        explained = self.client.explain(self._prompt(rest) if rest else self._last_prompt())
        if self.screen.json:
            self.screen.record(explained)
        else:
            show_explanation(self.screen, explained)

    def _route(self, _: str) -> None:
        if self.last is None:
            raise UsageProblem("Nothing was answered yet.")
        if self.screen.json:
            self.screen.record(self.last)
        else:
            self.screen.note(route_note(self.last))

    def _unknown(self, _: str) -> None:
        raise UsageProblem("There is no such command; /help lists them.")

    def _clear(self, _: str) -> None:
        self.turns.clear()
        self.last = None
