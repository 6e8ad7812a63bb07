"""The asyncio client: the same methods as `errata/client.py`, awaited.

    from errata.aio_client import AsyncClient

    async with AsyncClient("127.0.0.1:50051") as errata:
        answer = await errata.generate("The mother tongue of Danielle Darrieux is")
        async with errata.stream("Lionel Messi plays the sport of") as stream:
            async for text in stream:
                print(text, end="")

Make and use a client in one event loop. Calls raise the exceptions of `errata/errors.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

from errata import convert, requests
from errata.aio_edit_calls import AsyncEditCalls
from errata.aio_edition_calls import AsyncEditionCalls
from errata.aio_streams import AsyncAnswerStream
from errata.answers import Answer, Explanation, Scores
from errata.requests import GenerateOptions, Prompt, RoutingOptions


class AsyncClient(AsyncEditCalls, AsyncEditionCalls):
    """A connection to one server; close it, or use it as a context manager."""

    async def generate(
        self,
        prompt: Prompt,
        *,
        routing: RoutingOptions | None = None,
        timeout_s: float | None = None,
        **options: Unpack[GenerateOptions],
    ) -> Answer:
        """Answers a prompt, or a chat given as (role, content) turns.

        answer = await client.generate("Lionel Messi plays the sport of", max_tokens=8)
        print(answer.text, answer.route, answer.edits)
        """
        request = requests.generate(prompt, self._routing(routing), **options)
        return convert.answer(await self._call(self._inference.Generate, request, timeout_s))

    def stream(
        self,
        prompt: Prompt,
        *,
        routing: RoutingOptions | None = None,
        timeout_s: float | None = None,
        **options: Unpack[GenerateOptions],
    ) -> AsyncAnswerStream:
        """Answers as the text comes; closing the stream frees the server's slot.

        async with client.stream("The capital of France is") as answer:
            print((await answer.provenance()).route)
            for text in answer:
                print(text, end="", flush=True)
        print((await answer.answer()).usage)
        """
        request = requests.generate(prompt, self._routing(routing), **options)
        call = self._inference.StreamGenerate(
            request, timeout=timeout_s, metadata=self.options.metadata()
        )
        return AsyncAnswerStream(call, target=self.options.target)

    async def score(
        self,
        prompt: Prompt,
        continuations: Sequence[str],
        *,
        routing: RoutingOptions | None = None,
        request_id: str = "",
        timeout_s: float | None = None,
    ) -> Scores:
        """Returns the log-probabilities of texts that may follow, routed like a generation.

        scores = await client.score("Steve Jobs founded", [" Apple", " Microsoft"])
        """
        request = requests.score(prompt, continuations, self._routing(routing), request_id)
        return convert.scores(await self._call(self._inference.Score, request, timeout_s))

    async def explain(
        self,
        prompt: Prompt,
        *,
        routing: RoutingOptions | None = None,
        request_id: str = "",
        timeout_s: float | None = None,
    ) -> Explanation:
        """Returns the route that a prompt would take, with every candidate; generates nothing."""
        request = requests.explain(prompt, self._routing(routing), request_id)
        return convert.explanation(
            await self._call(self._inference.ExplainRoute, request, timeout_s)
        )
