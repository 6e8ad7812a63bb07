"""The in-context path (IKE): demonstrations, the new facts, then the query, all in the prompt.

IKE, Zheng et al. 2023, arXiv 2305.12740, section 3: demonstrations of three kinds (copy, update,
retain) in the ratio 1:3:4, the most similar last, then "New Fact: ..." and "Prompt: ...". Where
we depart from it: the demonstrations are chosen within the model's context instead of a fixed 32
(copy gives way first, retain last: it is the locality mechanism of the paper's ablation), and a
query only comes here when the router found it in scope, so demonstrations matter less than in the
paper. How many to use by default was measured; see docs/log.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from memory.errors import ContextTooLong, InvalidInput
from memory.record import Edit
from runtime.engine.contract import Engine
from runtime.paths.contract import BASE_MODEL, ModelName, PathInput, Preparation
from runtime.paths.demonstrations import Demonstration, DemonstrationChooser, render_demonstration

IN_CONTEXT = "in_context"
NEW_FACT = "New Fact: "
PROMPT = "Prompt: "
BLOCK_END = "\n\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class InContextSettings:
    """What the in-context path may put before the query."""

    demonstrations: int = 0  # At most this many, in IKE's ratio; 32 in the paper.
    edits_max: int = 4  # New facts in one prompt.


class InContextPath:
    """Prompts the frozen model with the new facts. Thread-safe: it holds nothing that changes."""

    def __init__(
        self,
        engine: Engine,
        *,
        chooser: DemonstrationChooser | None = None,
        settings: InContextSettings | None = None,
    ) -> None:
        self._engine = engine
        self._chooser = chooser
        self._settings = settings or InContextSettings()

    @property
    def name(self) -> str:
        """The name in routes and settings."""
        return IN_CONTEXT

    @property
    def model(self) -> ModelName:
        """The frozen model decodes."""
        return BASE_MODEL

    @property
    def edits_max(self) -> int:
        """How many new facts one prompt holds."""
        return self._settings.edits_max

    def prepare(self, asked: PathInput, edits: Sequence[Edit]) -> Preparation:
        """Returns the prompt that holds as many of the edits and demonstrations as fit.

        Edits are given up from the last (least in scope), demonstrations before edits. The best
        edit stands nearest to the query. Raises ContextTooLong when one edit and the query do not
        fit.
        """
        room = self._engine.info.context_tokens - asked.max_tokens
        chosen = tuple(edits[: self._settings.edits_max])
        while True:
            tokens = self._render(asked, chosen, ())
            if len(tokens) <= room:
                break
            if len(chosen) <= 1:
                raise ContextTooLong(
                    f"The new fact and the prompt take {len(tokens)} tokens and {asked.max_tokens} "
                    f"are asked for, but the model's context holds "
                    f"{self._engine.info.context_tokens}: shorten the prompt or ask for fewer "
                    "tokens.",
                    given=len(tokens) + asked.max_tokens,
                    limit=self._engine.info.context_tokens,
                )
            chosen = chosen[:-1]
        demonstrations = self._choose(chosen, room - len(tokens))
        while demonstrations:
            with_demonstrations = self._render(asked, chosen, demonstrations)
            if len(with_demonstrations) <= room:
                tokens = with_demonstrations
                break
            demonstrations = _give_up_one(demonstrations)
        return Preparation(
            prompt_tokens=tuple(tokens),
            prefix_tokens=self._shared_prefix(asked, tokens, demonstrations),
            edits_used=chosen,
            demonstrations=len(demonstrations),
        )

    def _choose(self, edits: Sequence[Edit], room: int) -> tuple[Demonstration, ...]:
        if self._chooser is None or self._settings.demonstrations <= 0 or room <= 0:
            return ()
        return self._chooser.choose(edits[0].prompt, self._settings.demonstrations)

    def _render(
        self,
        asked: PathInput,
        edits: Sequence[Edit],
        demonstrations: Sequence[Demonstration],
    ) -> list[int]:
        """Tokens of the whole prompt; the best edit (first) stands last, next to the query."""
        lines = [NEW_FACT + edit.statement for edit in reversed(edits)]
        facts = "\n".join([*lines, *([asked.note] if asked.note else [])])
        shown = "".join(render_demonstration(d) + BLOCK_END for d in demonstrations)
        if asked.messages:
            return self._render_chat(_as_read(asked), shown + facts)
        return self._engine.tokenize(f"{shown}{facts}\n{PROMPT}{asked.prompt}")

    def _render_chat(self, messages: Sequence[tuple[str, str]], facts: str) -> list[int]:
        """Tokens of a chat with the facts in its system turn, where the template takes one."""
        try:
            return self._engine.tokenize_chat(_with_facts(messages, facts))
        except InvalidInput:
            if messages[0][0] == "system":
                raise  # The caller's own turns are refused, facts or not.
        role, content = messages[-1]
        return self._engine.tokenize_chat((*messages[:-1], (role, f"{facts}\n{content}")))

    def _shared_prefix(
        self, asked: PathInput, tokens: Sequence[int], demonstrations: Sequence[Demonstration]
    ) -> int:
        """How many leading tokens other requests share: the fixed demonstrations, if any."""
        if not demonstrations or asked.messages or self._chooser is None or not self._chooser.fixed:
            return 0
        shown = "".join(render_demonstration(d) + BLOCK_END for d in demonstrations)
        alone = self._engine.tokenize(shown)
        shared = 0
        for ours, theirs in zip(alone, tokens, strict=False):
            if ours != theirs:
                break
            shared += 1
        return shared


def _as_read(asked: PathInput) -> tuple[tuple[str, str], ...]:
    """The turns, the last one as it was read in its conversation.

    A fact about a name is of little use to a small model whose question says "she": of 54 such
    chats the shipped model answered 19 by the fact, and 53 with the name in its place.
    """
    if asked.read_as is None:
        return asked.messages
    role, _ = asked.messages[-1]
    return (*asked.messages[:-1], (role, asked.read_as))


def _with_facts(messages: Sequence[tuple[str, str]], facts: str) -> tuple[tuple[str, str], ...]:
    """Puts the new facts into the system turn, after what the caller's own system turn says."""
    if messages and messages[0][0] == "system":
        role, content = messages[0]
        return ((role, f"{content}\n{facts}"), *messages[1:])
    return (("system", facts), *messages)


def _give_up_one(demonstrations: tuple[Demonstration, ...]) -> tuple[Demonstration, ...]:
    """Drops the least useful: copy first, then update, retain last; the least similar of a kind."""
    for kind in ("copy", "update", "retain"):
        for place, demonstration in enumerate(demonstrations):
            if demonstration.kind.value == kind:
                return demonstrations[:place] + demonstrations[place + 1 :]
    return ()
