"""When a failed call is tried again, and after how long. Pure; the clients sleep.

Only UNAVAILABLE is retried (AIP-194): the request was not carried out, or it carries a request_id
that makes a second time harmless. The server's own RetryInfo is honoured.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from errata.errors import ClientError, ServerUnavailable


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often and how patiently; `attempts` 1 never tries again."""

    attempts: int = 4  # In all, the first one included.
    first_wait_s: float = 0.1
    wait_s_max: float = 5.0
    jitter: float = 0.2  # Share by which a wait may differ, so that clients do not march in step.

    def wait_s(
        self,
        error: ClientError,
        *,
        attempt: int,
        left_s: float | None,
        draw: Callable[[], float] = random.random,
    ) -> float | None:
        """Returns the seconds to wait after failed attempt number `attempt` (from 1).

        None means "give up": another kind of failure, no attempts left, or the wait would outlast
        `left_s`, what is left of the call's timeout.
        """
        if not isinstance(error, ServerUnavailable) or attempt >= self.attempts:
            return None
        own = min(self.wait_s_max, self.first_wait_s * 2 ** (attempt - 1))
        wait = own * (1 + self.jitter * (2 * draw() - 1))
        wait = max(wait, error.retry_after_s or 0.0)
        return wait if left_s is None or wait < left_s else None


NO_RETRIES = RetryPolicy(attempts=1)
