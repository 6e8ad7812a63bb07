"""Every benchmark in turn, each in a process of its own: `make bench`, or names to choose some.

`--quick` takes smaller sizes everywhere, for a look in some minutes.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time

SCRIPTS: dict[str, tuple[str, ...]] = {  # Name to the options of a quick run.
    "encoder": (),
    "vector_index": (),
    "subjects": (),
    "edit_log": ("--seconds", "1"),
    "engine": (),
    "route": ("--sizes", "1000,10000", "--queries", "100"),
    "generate": ("--rounds", "3"),
    "writes": ("--creates", "100", "--imports", "2000"),
    "overlaps": ("--subjects", "250", "--creates", "50", "--queries", "50"),
    "interrupted_import": ("--edits", "2000"),
    "consolidation": ("--edits", "4", "--idle-s", "10"),
    "bad_deltas": ("--edits", "4"),
}


def main() -> int:
    """Runs them; the exit code is 1 when any failed."""
    parser = argparse.ArgumentParser(description="Runs the benchmarks one after the other.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(SCRIPTS)}")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in SCRIPTS]
    if unknown:
        parser.error(f"no benchmark {unknown[0]!r}; there are {', '.join(SCRIPTS)}")
    failed = []
    for name in options.names or SCRIPTS:
        began = time.perf_counter()
        print(f"\n== {name}", flush=True)
        command = [sys.executable, "-m", f"benchmarks.{name}"]
        ended = subprocess.run(  # noqa: S603  # Our own scripts.
            [*command, *(SCRIPTS[name] if options.quick else ())], check=False
        )
        print(f"== {name}: {time.perf_counter() - began:.0f} s", flush=True)
        if ended.returncode:
            failed.append(name)
    if failed:
        print(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
