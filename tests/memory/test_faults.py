"""When the storage fails at any statement, nothing acknowledged is lost and reads go on."""

from __future__ import annotations

import resource
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from memory.edit_memory import EditMemory
from memory.errors import EditConflict, StorageReadOnly
from memory.limits import MemoryLimits
from memory.record import DEFAULT_NAMESPACE, EditId
from tests.memory_kit import Faults, draft, open_memory

STATEMENTS_MAX = 100  # More than the writes below take.


def write_some(memory: EditMemory, acknowledged: dict[str, str]) -> None:
    """Writes of each kind; notes what was acknowledged."""
    made = memory.create(draft(1), request_id="r1").edits[0]
    acknowledged[made.id] = made.target
    batch = memory.create_batch([draft(2), draft(3)]).edits
    acknowledged.update({edit.id: edit.target for edit in batch})
    assert memory.create(draft(1), request_id="r1").replayed
    memory.retire(batch[1].id)
    acknowledged[batch[1].id] = "retired"


def held(memory: EditMemory) -> dict[str, str]:
    """What a memory holds of the first edits, in the words of `acknowledged`."""
    return {
        edit.id: "retired" if edit.state.value == "retired" else edit.target
        for _, edit in memory.snapshot().edits_from(DEFAULT_NAMESPACE, 0)
    }


def keeps(acknowledged: dict[str, str], known: dict[str, str]) -> bool:
    """Whether all that was acknowledged is there.

    The retirement that was not acknowledged may be there too: its commit failed late.
    """
    return all(known.get(name) in {said, "retired"} for name, said in acknowledged.items()) and all(
        known[name] == "retired" for name, said in acknowledged.items() if said == "retired"
    )


@pytest.mark.parametrize("after", [False, True], ids=["before-effect", "after-effect"])
def test_failing_every_nth_statement_loses_nothing_acknowledged(
    tmp_path: Path, after: bool
) -> None:
    fired = 0
    for at in range(1, STATEMENTS_MAX):
        directory = tmp_path / f"{at}"
        faults = Faults()
        acknowledged: dict[str, str] = {}
        with open_memory(directory, connect=faults.connect) as memory:
            faults.arm(at, after=after)
            try:
                write_some(memory, acknowledged)
            except StorageReadOnly:
                assert faults.fired.is_set()
            assert keeps(acknowledged, held(memory))
            if not faults.fired.is_set():
                break  # Every statement that the writes take has failed once.
            fired += 1
            faults.disarm()
            memory.wait_writable(10.0)
            memory.create(draft("after the fault"))
            assert memory.check_integrity(repair=False).problems == ()
        with open_memory(directory) as memory:
            assert keeps(acknowledged, held(memory))
            assert memory.check_integrity(repair=False).problems == ()
    assert 20 < fired < STATEMENTS_MAX - 1, "the faults must have hit every statement"


def test_reads_go_on_and_writes_are_refused_while_the_disk_is_full(tmp_path: Path) -> None:
    faults = Faults()
    limits = MemoryLimits(storage_retry_s=0.01)
    with open_memory(tmp_path, connect=faults.connect, limits=limits) as memory:
        kept = memory.create(draft(1)).edits[0]
        faults.arm(1, lasting=True, message="database or disk is full")
        with pytest.raises(StorageReadOnly, match="disk is full"):
            memory.create(draft(2))
        with pytest.raises(StorageReadOnly, match="Reads go on"):
            memory.create(draft(2))
        assert "disk is full" in memory.status().read_only
        assert kept == memory.get(kept.id)
        assert memory.search(DEFAULT_NAMESPACE, "mother tongue of Person 1")[0].edit == kept
        faults.disarm()
        memory.wait_writable(10.0)
        assert memory.status().read_only == ""
        again = memory.create(draft(2)).edits[0]
    with open_memory(tmp_path) as memory:
        assert {kept.id, again.id} == set(held(memory))


def test_a_commit_that_failed_but_reached_the_disk_is_taken_in_when_service_resumes(
    tmp_path: Path,
) -> None:
    faults = Faults()
    with open_memory(tmp_path, connect=faults.connect) as memory:
        faults.arm(6, after=True)  # BEGIN, SAVEPOINT, two INSERTs, RELEASE, COMMIT.
        with pytest.raises(StorageReadOnly):
            memory.create(draft(1, edit_id=EditId("ambiguous")))
        memory.wait_writable(10.0)
        assert memory.get(EditId("ambiguous")).target == "French"
        assert memory.snapshot().sequence == 1
        with pytest.raises(EditConflict):
            memory.create(draft(1))
        assert memory.check_integrity(repair=False).problems == ()


def test_one_failing_operation_does_not_fail_its_neighbours_in_the_group(tmp_path: Path) -> None:
    class Refusing(sqlite3.Connection):
        def execute(self, statement: str, *more: Any) -> sqlite3.Cursor:
            if statement.startswith("INSERT INTO log") and b"poison" in more[0][1]:
                raise sqlite3.IntegrityError("constraint failed")
            return super().execute(statement, *more)

    def connect(path: Path) -> sqlite3.Connection:
        return sqlite3.connect(
            path, isolation_level=None, check_same_thread=False, factory=Refusing
        )

    from memory.plans import Create
    from memory.record import ConflictPolicy
    from memory.writer import Job

    with open_memory(tmp_path, connect=connect) as memory:
        jobs = [
            Job(
                operation=Create(
                    namespace=DEFAULT_NAMESPACE,
                    drafts=(draft(number, target=target),),
                    on_conflict=ConflictPolicy.FAIL,
                    batch=False,
                )
            )
            for number, target in ((1, "a"), (2, "poison"), (3, "b"))
        ]
        memory._writer.call(lambda: memory._keeper.commit(jobs))
        assert [1, 2] == [jobs[0].future.result().sequence, jobs[2].future.result().sequence]
        with pytest.raises(sqlite3.IntegrityError):
            jobs[1].future.result()
        assert memory.snapshot().count() == 2
        assert memory.check_integrity(repair=False).problems == ()


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from memory.errors import StorageReadOnly
from tests.memory_kit import draft, open_memory

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # Writes beyond the limit then fail with EFBIG.
acknowledged = []
with open_memory(Path(sys.argv[1])) as memory:
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, resource.RLIM_INFINITY))
    try:
        for number in range(10_000):
            acknowledged.append(memory.create(draft(number)).edits[0].id)
    except StorageReadOnly:
        pass
    else:
        sys.exit("the limit was never met")
    assert memory.get(acknowledged[0]).target == "French"
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    memory.wait_writable(30.0)
    acknowledged.append(memory.create(draft("after")).edits[0].id)
    assert memory.check_integrity(repair=False).problems == ()
print("\\n".join(acknowledged))
"""


def test_a_full_disk_refuses_writes_until_there_is_space(tmp_path: Path) -> None:
    if resource.getrlimit(resource.RLIMIT_FSIZE)[1] != resource.RLIM_INFINITY:
        pytest.fail("this test needs an unlimited hard limit of file sizes")
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path / "data")],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    acknowledged = done.stdout.split()
    assert len(acknowledged) > 10
    with open_memory(tmp_path / "data") as memory:
        assert set(acknowledged) <= set(held(memory))
