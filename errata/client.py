"""The synchronous client.

    from errata.client import Client

    with Client("127.0.0.1:50051") as errata:
        print(errata.generate("The mother tongue of Danielle Darrieux is"))
        written = errata.create_edit(
            subject="Danielle Darrieux",
            prompt="The mother tongue of Danielle Darrieux is",
            target="English",
        )
        answer = errata.generate("Danielle Darrieux spoke the language")
        print(answer.text, answer.route, [edit.score for edit in answer.edits])
        errata.retire_edit(written)

One client serves many threads. Calls raise the exceptions of `errata/errors.py`; writes carry a
request_id of their own, so that a retry after a lost answer changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

from errata import convert, requests
from errata.answers import Answer, Explanation, Scores
from errata.edit_calls import EditCalls
from errata.edition_calls import EditionCalls
from errata.requests import GenerateOptions, Prompt, RoutingOptions
from errata.streams import AnswerStream


class Client(EditCalls, EditionCalls):
    """A connection to one server; close it, or use it as a context manager."""

    def generate(
        self,
        prompt: Prompt,
        *,
        routing: RoutingOptions | None = None,
        timeout_s: float | None = None,
        **options: Unpack[GenerateOptions],
    ) -> Answer:
        """Answers a prompt, or a chat given as (role, content) turns.

        answer = client.generate("Lionel Messi plays the sport of", max_tokens=8)
        print(answer.text, answer.route, answer.edits)
        """
        request = requests.generate(prompt, self._routing(routing), **options)
        return convert.answer(self._call(self._inference.Generate, request, timeout_s))

    def stream(
        self,
        prompt: Prompt,
        *,
        routing: RoutingOptions | None = None,
        timeout_s: float | None = None,
        **options: Unpack[GenerateOptions],
    ) -> AnswerStream:
        """Answers as the text comes; closing the stream frees the server's slot.

        with client.stream("The capital of France is") as answer:
            print(answer.provenance.route)
            for text in answer:
                print(text, end="", flush=True)
        print(answer.answer.usage)
        """
        request = requests.generate(prompt, self._routing(routing), **options)
        call = self._inference.StreamGenerate(
            request, timeout=timeout_s, metadata=self.options.metadata()
        )
        return AnswerStream(call, target=self.options.target)

    def score(
        self,
        prompt: Prompt,
        continuations: Sequence[str],
        *,
        routing: RoutingOptions | None = None,
        request_id: str = "",
        timeout_s: float | None = None,
    ) -> Scores:
        """Returns the log-probabilities of texts that may follow, routed like a generation.

        client.score("Steve Jobs founded", [" Apple", " Microsoft"]).scores[0].logprob
        """
        request = requests.score(prompt, continuations, self._routing(routing), request_id)
        return convert.scores(self._call(self._inference.Score, request, timeout_s))

    def explain(
        self,
        prompt: Prompt,
        *,
        routing: RoutingOptions | None = None,
        request_id: str = "",
        timeout_s: float | None = None,
    ) -> Explanation:
        """Returns the route that a prompt would take, with every candidate; generates nothing."""
        request = requests.explain(prompt, self._routing(routing), request_id)
        return convert.explanation(self._call(self._inference.ExplainRoute, request, timeout_s))
