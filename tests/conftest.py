"""One thread a process: the suite's models are tiny, and several threads wait for one another.

With torch's own choice the suite takes a third longer on two cores, several times as long where
other programs run beside it. Set before torch is imported, and inherited by servers and children.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
