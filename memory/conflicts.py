"""When two texts count as the same, and the key under which two edits conflict.

The rule: NFKC, casefold, white space collapsed, trailing punctuation stripped. Two edits of one
namespace conflict when their subjects and their prompts are the same under it.
"""

from __future__ import annotations

import hashlib
import unicodedata

TRAILING = " \t.,;:!?…。！？、，；："  # noqa: RUF001  # Full-width marks end CJK prompts.


def normalise(text: str) -> str:
    """Returns the form of `text` that is compared."""
    if not text.isascii():
        # Casefolding can undo NFKC (and the other way round), so NFKC stands on both sides.
        text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
        return " ".join(text.split()).rstrip(TRAILING)
    return " ".join(text.lower().split()).rstrip(TRAILING)


def same_text(left: str, right: str) -> bool:
    """Whether two texts count as the same."""
    return left == right or normalise(left) == normalise(right)


def conflict_key(subject: str, prompt: str) -> bytes:
    """Returns the key, 16 bytes: a hash, because a million of them stay in memory."""
    joined = f"{normalise(subject)}\0{normalise(prompt)}"
    return hashlib.blake2b(joined.encode(), digest_size=16).digest()
