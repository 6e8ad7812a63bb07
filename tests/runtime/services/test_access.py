"""Keys: nobody without one gets in, each is good for its scopes alone, and the file is followed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.longrunning import operations_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from structlog.testing import capture_logs

from errata import errors
from errata.results import NewEdit
from memory.errors import PermissionDenied, StartupError, Unauthenticated
from protos.errata.v1 import consolidation_pb2, inference_pb2, memory_pb2
from runtime.services.access import SCOPES, Access, Scope, digest_of, read_keys
from tests.server_kit import Kit, run_server

GENERATE = "/errata.v1.InferenceService/Generate"
ALL = [scope.value for scope in Scope]


def table(name: str, key: str, *scopes: str) -> str:
    return f'[keys.{name}]\nsha256 = "{digest_of(key)}"\nscopes = {list(scopes)}\n'


def sent(key: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {key}"),)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "keys.toml"
    tables = (table("asker", "k-infer", "infer"), table("reader", "k-read", "read"))
    more = (table("writer", "k-write", "infer", "write"), table("boss", "k-all", *ALL))
    path.write_text("\n".join(tables + more), encoding="utf-8")
    return path


@pytest.fixture
def kit(tmp_path: Path, file: Path) -> Iterator[Kit]:
    with run_server(tmp_path / "data", access=file) as running:
        yield running


def test_every_method_has_its_scope() -> None:
    services = [
        *inference_pb2.DESCRIPTOR.services_by_name.values(),
        *memory_pb2.DESCRIPTOR.services_by_name.values(),
        *consolidation_pb2.DESCRIPTOR.services_by_name.values(),
        *operations_pb2.DESCRIPTOR.services_by_name.values(),
    ]
    methods = {
        f"/{service.full_name}/{one.name}" for service in services for one in service.methods
    }
    assert methods == set(SCOPES)


CALLS: dict[str, tuple[str, Callable[[Any], object]]] = {
    "generate": ("infer", lambda client: client.generate("Messi plays")),
    "stream": ("infer", lambda client: client.stream("Messi plays").answer),
    "list": ("read", lambda client: list(client.list_edits())),
    "export": ("read", lambda client: list(client.export_edits())),
    "watch": ("read", lambda client: next(iter(client.watch(after_sequence=0)))),
    "create": (
        "write",
        lambda client: client.create_edit(subject="Bo", prompt="Bo plays", target="go"),
    ),
    "import": (
        "write",
        lambda client: client.import_edits([NewEdit(subject="Al", prompt="Al plays", target="go")]),
    ),
}


@pytest.mark.parametrize("name", sorted(CALLS))
@pytest.mark.parametrize("key", ["", "k-wrong", "k-infer", "k-read", "k-write", "k-all"])
def test_a_call_needs_a_key_that_is_good_for_it(kit: Kit, name: str, key: str) -> None:
    scope, call = CALLS[name]
    with kit.client(key="k-all") as boss:
        boss.create_edit(subject="Messi", prompt="Messi plays", target="chess")
    good = {"k-infer": ["infer"], "k-read": ["read"], "k-write": ["infer", "write"], "k-all": ALL}
    with kit.client(key=key) as client:
        if scope in good.get(key, []):
            call(client)
            return
        expected = errors.PermissionDenied if key in good else errors.Unauthenticated
        with pytest.raises(expected) as caught:
            call(client)
        assert caught.value.reason == ("SCOPE_MISSING" if key in good else "KEY_UNKNOWN")
    if scope == "write":
        with kit.client(key="k-all") as boss:
            assert 1 == len(list(boss.list_edits()))


def test_a_write_tells_edits_of_others_only_to_who_may_read(kit: Kit) -> None:
    secret: dict[str, Any] = {"subject": "Messi", "prompt": "Messi plays", "target": "chess"}
    probe: dict[str, Any] = {"subject": "Messi", "prompt": "Messi works as", "target": "a spy"}
    with kit.client(key="k-all") as boss, kit.client(key="k-write") as writer:
        boss.create_edit(**secret)
        told = writer.create_edit(**probe, validate_only=True)
        assert ((), False) == (told.overlaps, told.overlaps_checked)
        batch = writer.create_edits([NewEdit(**probe)], check_overlaps=True)
        assert ((), False) == (batch.overlaps, batch.overlaps_checked)
        changed = writer.update_edit(batch.edits[0], target="a cook")
        assert ((), False) == (changed.overlaps, changed.overlaps_checked)
        changed = boss.update_edit(changed, target="a driver")
        assert ["chess"] == [overlap.edit.target for overlap in changed.overlaps]


def test_health_answers_without_a_key(kit: Kit) -> None:
    with grpc.insecure_channel(kit.target) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        assert 1 == stub.Check(health_pb2.HealthCheckRequest()).status


def test_the_log_names_the_holder_and_never_the_key(kit: Kit) -> None:
    with capture_logs() as lines, kit.client(key="k-infer") as client:
        client.generate("Messi plays")
        with pytest.raises(errors.PermissionDenied):
            client.create_edit(subject="Bo", prompt="Bo plays", target="go")
    assert "asker" in [line.get("key") for line in lines]
    assert "k-infer" not in str(lines)
    assert digest_of("k-infer") not in str(lines)


def test_a_key_that_is_taken_back_ends_the_streams_that_it_opened(
    kit: Kit, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.services.access.CHECK_EVERY_S", 0.0)
    with kit.client(key="k-all") as boss, kit.client(key="k-read") as reader:
        edit = boss.create_edit(subject="Messi", prompt="Messi plays", target="chess")
        changes = iter(reader.watch(after_sequence=0))
        assert "chess" in str(next(changes))
        file.write_text(table("boss", "k-all", *ALL), encoding="utf-8")
        boss.update_edit(edit, target="golf")
        with pytest.raises(errors.Unauthenticated):
            next(changes)


class Clock:
    """Seconds that pass only when told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_changed_file_is_followed_and_a_broken_one_is_not(file: Path) -> None:
    clock = Clock()
    access = Access(file, clock=clock)
    assert "asker" == access.check(GENERATE, sent("k-infer"))
    file.write_text(table("new", "k-new", "infer"), encoding="utf-8")
    assert "asker" == access.check(GENERATE, sent("k-infer"))  # Looked at a moment ago.
    clock.now += 2
    assert "new" == access.check(GENERATE, sent("k-new"))
    with pytest.raises(Unauthenticated, match="not known"):
        access.check(GENERATE, sent("k-infer"))
    for broken in ("[keys", "[other]", None):
        if broken is None:
            file.unlink()
        else:
            file.write_text(broken, encoding="utf-8")
        clock.now += 2
        with capture_logs() as lines:
            assert "new" == access.check(GENERATE, sent("k-new"))
        assert ["error"] == [line["log_level"] for line in lines]
    file.write_text(table("late", "k-late", "infer"), encoding="utf-8")
    clock.now += 2
    assert "late" == access.check(GENERATE, sent("k-late"))


@pytest.mark.parametrize("left", ["", "# nobody\n", "[keys]\n"])
def test_the_only_key_can_be_taken_back(tmp_path: Path, left: str) -> None:
    clock, file = Clock(), tmp_path / "keys.toml"
    file.write_text(table("only", "k-only", "infer"), encoding="utf-8")
    access = Access(file, clock=clock)
    assert "only" == access.check(GENERATE, sent("k-only"))
    file.write_text(left, encoding="utf-8")
    clock.now += 2
    with capture_logs() as lines, pytest.raises(Unauthenticated, match="not known"):
        access.check(GENERATE, sent("k-only"))
    assert "nobody is let in" in lines[0]["event"]
    with pytest.raises(StartupError, match="holds no keys: `errata key NAME"):
        Access(file)


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ((), "needs a key"),
        ((("authorization", "Basic abc"),), "Bearer"),
        ((("authorization", "Bearer "),), "not known"),
        ((("authorization", b"Bearer \xff"),), "not known"),
    ],
)
def test_a_header_that_is_no_key_is_told_apart(file: Path, header: Any, said: str) -> None:
    with pytest.raises(Unauthenticated, match=said):
        Access(file).check(GENERATE, header)


def test_a_method_that_nobody_listed_needs_the_highest_scope(file: Path) -> None:
    access = Access(file)
    with pytest.raises(PermissionDenied, match="needs the scope admin"):
        access.check("/errata.v1.MemoryService/Brand", sent("k-write"))
    assert "boss" == access.check("/errata.v1.MemoryService/Brand", sent("k-all"))


DIGEST = digest_of("x")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("keys = 3", "holds no keys"),
        ("[other]\na = 1\n" + table("a", "x", "infer"), "nothing else"),
        ("[keys.a", "no TOML"),
        ('[keys.a]\nsha256 = "00"\nscopes = ["infer"]', "64 small hexadecimal"),
        (f'[keys.a]\nsha256 = "{DIGEST}"\nscopes = []', "expected some of infer"),
        (f'[keys.a]\nsha256 = "{DIGEST}"\nscopes = ["root"]', "expected some of infer"),
        (f'[keys.a]\nsha256 = "{DIGEST}"', "expected sha256 and scopes"),
        (f'[keys."a b"]\nsha256 = "{DIGEST}"\nscopes = ["infer"]', "1 to 64 letters"),
        (table("a", "x", "infer") + table("b", "x", "infer"), "the same key"),
    ],
)
def test_a_file_that_is_wrong_refuses_to_start(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "keys.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(StartupError, match=said):
        read_keys(path)


def test_a_file_that_is_not_there_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="`errata key NAME --file"):
        read_keys(tmp_path / "none.toml")
    with pytest.raises(StartupError, match=r"Is a directory\.$"):
        read_keys(tmp_path)
