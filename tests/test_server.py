"""`python server.py` as an operator meets it: a real process, a tiny model, signals, refusals."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import server
from errata.answers import RouteKind
from errata.client import Client
from errata.commands.key import add_key
from errata.results import EditState
from memory.errors import StartupError
from runtime.config import read_settings
from tests.tiny_models import save_tiny_model

ROOT = Path(server.__file__).parent
PROMPT = "The mother tongue of Danielle Darrieux is"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("model"), "llama")


class Process:
    """A server process and the log lines that it wrote so far."""

    def __init__(self, *arguments: str) -> None:
        clean = {key: value for key, value in os.environ.items() if not key.startswith("ERRATA_")}
        self.process = subprocess.Popen(
            [sys.executable, str(ROOT / "server.py"), "--log-format", "json", *arguments],
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**clean, "OMP_NUM_THREADS": "1", "ERRATA_MODEL__THREADS": "1"},
        )
        self.lines: list[str] = []

    def wait_for(self, event: str) -> dict[str, Any]:
        """Reads the log up to an event."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line)
            if line.startswith("{"):
                entry: dict[str, Any] = json.loads(line)
                if entry["event"] == event:
                    return entry
        raise AssertionError(f"no {event!r} in:\n{''.join(self.lines)}")

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        self.lines.append(self.process.communicate(timeout=60)[1])
        return self.process.returncode

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate(timeout=60)


def arguments(model: Path, data: Path) -> list[str]:
    return ["--model", str(model), "--data-dir", str(data), "--listen", "127.0.0.1:0"]


@pytest.fixture
def processes() -> Iterator[list[Process]]:
    started: list[Process] = []
    yield started
    for process in started:
        process.kill()


@pytest.fixture
def refusal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[Path, Path], str]:
    """Starts a server that must refuse, in this process; returns what it says on stderr."""
    monkeypatch.setattr(server, "configure_logging", lambda *_: None)

    def refuse(model: Path, data: Path) -> str:
        settings = read_settings(
            {
                "server": {"listen": "127.0.0.1:0"},
                "model": {"name": str(model)},
                "memory": {"directory": data},
            }
        )
        assert server.serve(settings) == server.EXIT_REFUSED
        said = capsys.readouterr().err
        assert "Traceback" not in said
        return said[said.index("errata: ") :]

    return refuse


@pytest.mark.timeout(400)  # Two processes that load torch.
def test_an_edit_outlives_the_process_and_a_second_server_is_refused(
    model: Path,
    tmp_path: Path,
    processes: list[Process],
    refusal: Callable[[Path, Path], str],
) -> None:
    data = tmp_path / "data"
    first = Process(*arguments(model, data))
    processes.append(first)
    ready = first.wait_for("ready")
    assert (ready["edits"], ready["pid"]) == (0, first.process.pid)
    with Client(ready["address"]) as client:
        assert client.generate(PROMPT, max_tokens=2).route is RouteKind.BASE
        written = client.create_edit(
            subject="Danielle Darrieux", prompt=PROMPT, target="English", request_id="once"
        )
        assert client.generate(PROMPT, max_tokens=2).route is RouteKind.EDITED
        assert str(first.process.pid) in refusal(model, data)
        assert client.status().model.model_type == "llama"
    assert first.end(signal.SIGTERM) == server.EXIT_DRAINED
    assert "Traceback" not in "".join(first.lines)

    again = Process(*arguments(model, data))
    processes.append(again)
    ready = again.wait_for("ready")
    assert ready["edits"] == 1
    with Client(ready["address"]) as client:
        edit = client.get_edit(written)
        assert (edit, edit.state) == (written.edit, EditState.ACTIVE)
        assert client.generate(PROMPT, max_tokens=2).route is RouteKind.EDITED
        replay = client.create_edit(
            subject="Danielle Darrieux", prompt=PROMPT, target="English", request_id="once"
        )
        assert replay.replayed
    assert again.end(signal.SIGINT) == server.EXIT_DRAINED


def test_a_missing_model_is_refused_in_one_message(
    tmp_path: Path, refusal: Callable[[Path, Path], str]
) -> None:
    assert "no-such-model" in refusal(tmp_path / "no-such-model", tmp_path / "data")


def test_a_foreign_data_directory_is_refused_and_left_alone(
    model: Path, tmp_path: Path, refusal: Callable[[Path, Path], str]
) -> None:
    (tmp_path / "holiday.jpg").write_bytes(b"mine")
    assert str(tmp_path) in refusal(model, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["holiday.jpg"]


def settings_of(**section: Any) -> Any:
    return read_settings({"server": section})


def test_a_taken_port_is_refused_before_anything_is_loaded() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(StartupError, match="choose another port"):
            server.check_listening(settings_of(listen=listen))


def test_a_host_that_others_reach_needs_tls_and_keys_or_a_word(tmp_path: Path) -> None:
    keys = tmp_path / "keys.toml"
    add_key(keys, "ci", "secret", ["infer"])
    tls = {"tls_cert": tmp_path / "c.pem", "tls_key": tmp_path / "k.pem"}
    with pytest.raises(StartupError, match=r"give TLS .* and keys .*--insecure-bind"):
        server.check_listening(settings_of(listen="0.0.0.0:0"))
    with pytest.raises(StartupError, match="give keys"):
        server.check_listening(settings_of(listen="0.0.0.0:0", **tls))
    with pytest.raises(StartupError, match="give TLS"):
        server.check_listening(settings_of(listen="0.0.0.0:0", keys=keys))
    server.check_listening(settings_of(listen="0.0.0.0:0", insecure=True))
    with pytest.raises(StartupError, match=r"TLS file .*c.pem cannot be read"):
        server.check_listening(settings_of(listen="0.0.0.0:0", keys=keys, **tls))
    for file in tls.values():
        file.touch()
    server.check_listening(settings_of(listen="0.0.0.0:0", keys=keys, **tls))


def test_a_file_of_keys_that_is_not_there_is_refused_before_anything_is_loaded() -> None:
    with pytest.raises(StartupError, match="`errata key NAME"):
        server.check_listening(settings_of(listen="127.0.0.1:0", keys="/nowhere/keys.toml"))


def test_half_of_tls_is_refused() -> None:
    with pytest.raises(StartupError, match="go together"):
        server.check_listening(settings_of(tls_cert="c.pem"))


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("[::1]", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("[::]", False),
        ("10.0.0.1", False),
        ("example.org", False),
    ],
)
def test_only_this_machine_reaches_loopback(host: str, loopback: bool) -> None:
    assert server.is_loopback(host) is loopback


def test_bad_settings_are_refused_and_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert server.main(["--listen", "nonsense"]) == server.EXIT_REFUSED
    error = capsys.readouterr().err
    assert "server.listen" in error
    assert "nonsense" in error
