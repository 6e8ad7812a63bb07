import pytest

from errata.errors import InvalidRequest, Overloaded, ServerUnavailable
from errata.retry import NO_RETRIES, RetryPolicy

POLICY = RetryPolicy(attempts=4, first_wait_s=0.1, wait_s_max=0.5, jitter=0.0)


def test_waits_double_up_to_their_limit() -> None:
    waits = [
        RetryPolicy(attempts=9, first_wait_s=0.1, wait_s_max=0.5, jitter=0.0).wait_s(
            ServerUnavailable("m"), attempt=attempt, left_s=None
        )
        for attempt in range(1, 6)
    ]
    assert waits == pytest.approx([0.1, 0.2, 0.4, 0.5, 0.5])


def test_the_servers_word_on_when_to_retry_is_kept() -> None:
    error = ServerUnavailable("m", retry_after_s=3.0)
    assert POLICY.wait_s(error, attempt=1, left_s=None) == 3.0


@pytest.mark.parametrize("error", [InvalidRequest("m"), Overloaded("m", retry_after_s=1.0)])
def test_only_an_unavailable_server_is_tried_again(error: Exception) -> None:
    assert POLICY.wait_s(error, attempt=1, left_s=None) is None  # type: ignore[arg-type]


def test_the_last_attempt_is_the_last() -> None:
    assert POLICY.wait_s(ServerUnavailable("m"), attempt=4, left_s=None) is None
    assert NO_RETRIES.wait_s(ServerUnavailable("m"), attempt=1, left_s=None) is None


def test_a_wait_never_outlasts_the_call() -> None:
    error = ServerUnavailable("m", retry_after_s=3.0)
    assert POLICY.wait_s(error, attempt=1, left_s=3.0) is None
    assert POLICY.wait_s(error, attempt=1, left_s=3.1) == 3.0


def test_jitter_spreads_waits_both_ways() -> None:
    policy = RetryPolicy(first_wait_s=1.0, jitter=0.2)
    error = ServerUnavailable("m")
    assert policy.wait_s(error, attempt=1, left_s=None, draw=lambda: 0.0) == pytest.approx(0.8)
    assert policy.wait_s(error, attempt=1, left_s=None, draw=lambda: 1.0) == pytest.approx(1.2)
