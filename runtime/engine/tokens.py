"""Between text and tokens: bare prompts, continuations, chats, and back."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from jinja2.exceptions import TemplateError

from memory.errors import InvalidInput

BYTE_PIECE = re.compile(r"<0x[0-9A-F]{2}>")


def open_ids(vocabulary: Mapping[str, int], special_ids: Iterable[int]) -> frozenset[int]:
    """Returns the ids whose text hangs on later tokens: single bytes, and what hides between them.

    A run of byte tokens is read as a whole (one bad byte spoils it), across special tokens.
    """
    pieces = {number for piece, number in vocabulary.items() if BYTE_PIECE.fullmatch(piece)}
    return frozenset(pieces | set(special_ids)) if pieces else frozenset()


class TextCodec:
    """A tokenizer of transformers behind the engine's words. Safe for several threads."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._fast = getattr(tokenizer, "backend_tokenizer", None)
        self.open_ids = open_ids(tokenizer.get_vocab(), tokenizer.all_special_ids)
        self.has_template = bool(getattr(tokenizer, "chat_template", None))

    def encode(self, text: str) -> list[int]:
        """Returns the ids of a text, with the special tokens that the tokenizer adds."""
        if self._fast is not None:
            return self._fast.encode(text).ids  # type: ignore[no-any-return]
        return self._tokenizer.encode(text)  # type: ignore[no-any-return]

    def encode_plain(self, text: str) -> list[int]:
        """Returns the ids of a text without special tokens."""
        if self._fast is not None:
            return self._fast.encode(text, add_special_tokens=False).ids  # type: ignore[no-any-return]
        return self._tokenizer.encode(text, add_special_tokens=False)  # type: ignore[no-any-return]

    def decode(self, tokens: Sequence[int]) -> str:
        """Returns the text of ids, special tokens left out."""
        if self._fast is not None:
            return self._fast.decode(list(tokens), skip_special_tokens=True)  # type: ignore[no-any-return]
        return self._tokenizer.decode(  # type: ignore[no-any-return]
            list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False
        )

    def encode_continuation(self, prompt: str, continuation: str) -> tuple[list[int], list[int]]:
        """Returns the ids of the joined text, cut before the first token that ends in the latter.

        A token that straddles the border counts as continuation.
        """
        if self._fast is None:
            joined, alone = self.encode(prompt + continuation), self.encode(prompt)
            border = next(
                (i for i, (a, b) in enumerate(zip(joined, alone, strict=False)) if a != b),
                min(len(joined), len(alone)),
            )
            return joined[:border], joined[border:]
        encoding = self._fast.encode(prompt + continuation)
        ends = (end for _, end in encoding.offsets)
        border = next(
            (place for place, end in enumerate(ends) if end > len(prompt)), len(encoding.ids)
        )
        return encoding.ids[:border], encoding.ids[border:]

    def encode_chat(self, messages: Sequence[tuple[str, str]]) -> list[int]:
        """Returns the ids of the turns and the opening of the assistant's.

        Raises InvalidInput for no messages, or for turns that the template refuses.
        """
        if not messages:
            raise InvalidInput("messages is empty; expected at least one turn", field="messages")
        if not self.has_template:
            turns = "".join(f"{role}: {content}\n" for role, content in messages)
            return self.encode(turns + "assistant:")
        turns_ = [{"role": role, "content": content} for role, content in messages]
        try:
            text = self._tokenizer.apply_chat_template(
                turns_, add_generation_prompt=True, tokenize=False
            )
        except (TemplateError, ValueError) as error:
            raise InvalidInput(
                f"the model's chat template refuses these turns: {error}; given roles:"
                f" {', '.join(role for role, _ in messages)}",
                field="messages",
            ) from error
        return self._tokenizer.encode(text, add_special_tokens=False)  # type: ignore[no-any-return]
