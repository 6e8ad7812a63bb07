"""What holds for every test: one thread a process, and no clock over a single example.

One thread, because the suite's models are tiny, and several threads wait for one another: with
torch's own choice the suite takes a third longer on two cores, several times as long where other
programs run beside it. Set before torch is imported, and inherited by servers and children.
"""

import gc
import os
import sys

import hypothesis
import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
THREADS = int(os.environ["OMP_NUM_THREADS"].partition(",")[0])

# Several test processes and their children share the cores, so an example may wait for its turn:
# that is no fault of the code. The time limit of a whole test (pyproject.toml) stays.
hypothesis.settings.register_profile(
    "errata", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("errata")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Lets the garbage collector pass over what was imported and stays."""
    gc.collect()
    gc.freeze()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Takes back the number of threads that an earlier test's engine set for the whole process."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.get_num_threads() != THREADS:
        torch.set_num_threads(THREADS)
