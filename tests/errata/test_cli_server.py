"""serve, status, watch, version and doctor: the commands about the server itself."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import server as server_module
from errata import checks
from errata.checks import Finding, run_check
from errata.commands.status import installed_versions
from memory.edit_memory import EditMemory
from runtime.config import EncoderSection, Settings, read_settings
from tests.cli_kit import MARKED, Shell, run_command, shell
from tests.hash_encoder import HashEncoder
from tests.memory_kit import draft


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    with shell(tmp_path_factory.mktemp("memory")) as opened:
        opened("edit", "add", MARKED, "English", "--id", "darrieux")
        yield opened


def test_status_shows_health_model_and_namespaces(server: Shell) -> None:
    shown = server("status").out
    assert "SERVING" in shown
    assert "default\t1\t0\t0\t0\t0" in shown
    told = server("status", "--json").record
    assert ("SERVING", "fake") == (told["health"], told["model"]["model"])
    assert 3 == run_command("status").code


def test_a_server_that_speaks_tls_is_reached_with_its_certificate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs openssl to make a certificate")
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    making = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost"
    name = "subjectAltName=DNS:localhost,IP:127.0.0.1"
    files = ["-keyout", str(key), "-out", str(certificate), "-addext", name]
    subprocess.run([openssl, *making.split(), *files], check=True, capture_output=True)
    with shell(tmp_path / "memory", certificate=certificate, key=key) as opened:
        secure = f"tls://{opened.kit.target}"
        monkeypatch.setenv("ERRATA_TLS_CA", str(certificate))
        assert "SERVING" in opened("status", "--address", secure).out
        monkeypatch.setenv("ERRATA_TLS_CA", "")
        assert 3 == opened("status", "--address", secure, code=None).code  # Not trusted.
        monkeypatch.setenv("ERRATA_TLS_CA", str(tmp_path / "none.pem"))
        assert "none.pem" in opened("status", "--address", secure, code=2).err


def test_watch_shows_changes_from_a_sequence_on(server: Shell) -> None:
    (change,) = server("watch", "--after", "0", "--limit", "1", "--json").records
    assert ("created", "darrieux") == (change["kind"], change["edit"]["id"])
    line = server("watch", "--after", "0", "--limit", "1", "--namespace", "default").out
    assert "created" in line
    assert "default/darrieux" in line


def test_version_tells_what_is_installed_without_importing_it() -> None:
    told = run_command("version", "--json").record
    assert installed_versions() == told
    assert {"errata", "python", "torch", "grpcio"} <= told.keys()
    assert told["torch"] in run_command("version").out


def test_print_config_is_a_configuration_file(tmp_path: Path) -> None:
    ran = run_command("serve", "--listen", "127.0.0.1:0", "--drain", "2.5", "--print-config")
    tree = tomllib.loads(ran.out)
    assert ("127.0.0.1:0", 2.5) == (tree["server"]["listen"], tree["server"]["drain_s"])
    file = tmp_path / "errata.toml"
    file.write_text(ran.out, encoding="utf-8")
    again = run_command("serve", "--config", str(file), "--print-config", "--json").record
    assert tree["server"] == {k: v for k, v in again["server"].items() if v is not None}
    for name in ("--listen", "--address"):  # Other commands know the second name alone.
        flag = run_command(
            "serve", "--config", str(file), name, "127.0.0.1:7", "--print-config", "--json"
        )
        assert "127.0.0.1:7" == flag.record["server"]["listen"]  # Flags win over the file.


def test_print_config_writes_budgets_of_namespaces_as_toml(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    budgets = {"medical": 0.002, "two-words": 0.05}
    monkeypatch.setenv("ERRATA_ROUTING__NAMESPACE_BUDGETS", json.dumps(budgets))
    file = tmp_path / "errata.toml"
    file.write_text(run_command("serve", "--print-config").out, encoding="utf-8")
    monkeypatch.delenv("ERRATA_ROUTING__NAMESPACE_BUDGETS")
    again = run_command("serve", "--config", str(file), "--print-config", "--json").record
    assert budgets == again["routing"]["namespace_budgets"]


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """`--config` sets a variable of the process, as a server wants it; not for the next test."""
    monkeypatch.setenv("ERRATA_CONFIG", "")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--listen", "nowhere"), "HOST:PORT"),
        (("--device", "abacus"), "model.device"),
        (("--error-budget", "2"), "routing.error_budget"),
        (("--config", "missing.toml"), "does not exist"),
    ],
)
def test_serve_refuses_bad_settings_by_name(flags: tuple[str, ...], message: str) -> None:
    ran = run_command("serve", *flags)
    assert 2 == ran.code
    assert message in ran.err


def test_serve_starts_the_server_and_says_where(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Settings] = []

    def serve(settings: Settings, *, on_ready: Any) -> int:
        seen.append(settings)
        on_ready(4242)
        return 0

    monkeypatch.setattr(server_module, "serve", serve)
    ran = run_command("serve", "--listen", "127.0.0.1:0", "--model", "tiny", "--insecure-bind")
    assert "Serving tiny on 127.0.0.1:4242" in ran.out
    assert seen[0].server.insecure
    ready = run_command("serve", "--listen", "127.0.0.1:0", "--json").record
    assert ("ready", "127.0.0.1:4242") == (ready["kind"], ready["address"])


def test_the_exit_code_of_serve_is_the_server_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "serve", lambda *_, **__: 2)
    assert 2 == run_command("serve").code


def settings_for(**sections: dict[str, Any]) -> Settings:
    return read_settings(sections)


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> type[HashEncoder]:
    """An encoder without weights in place of MiniLM."""

    class Closing(HashEncoder):
        def __init__(self, _: EncoderSection | None = None) -> None:
            super().__init__(dimension=16)

        def close(self) -> None: ...

    monkeypatch.setattr(checks, "make_encoder", Closing)
    return Closing


def test_doctor_runs_every_check_and_fails_when_one_does(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Settings) -> Finding:
        raise RuntimeError("the disk is on fire")

    fine = Finding(level="ok", text="fine")
    monkeypatch.setattr(checks, "CHECKS", {"one": lambda _: fine, "two": broken})
    ran = run_command("doctor")
    assert 1 == ran.code
    assert "ok    one        fine" in ran.out
    assert "FAIL  two        the disk is on fire" in ran.out
    assert "1 check failed" in ran.err
    monkeypatch.setattr(checks, "CHECKS", {"one": lambda _: fine, "model": broken})
    assert 0 == run_command("doctor", "--no-model").code
    told = run_command("doctor", "--json").records
    assert [("one", "ok"), ("model", "fail")] == [(r["check"], r["level"]) for r in told]


def test_the_light_checks_pass_here(hashed: type[HashEncoder], tmp_path: Path) -> None:
    settings = settings_for(
        server={"listen": "127.0.0.1:0"}, memory={"directory": tmp_path / "none"}
    )
    levels = {
        name: run_check(check, settings).level
        for name, check in checks.CHECKS.items()
        if name not in ("model", "encoder", "scope")
    }
    assert {"fail"} & set(levels.values()) == set(), levels
    assert "note" == levels["data"]
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("dtype", "told"), [("float32", " on cpu, 384"), ("int8", "on cpu, queries int8")]
)
def test_doctor_says_how_the_encoder_computes(dtype: str, told: str) -> None:
    found = checks.check_encoder(settings_for(encoder={"dtype": dtype, "device": "cpu"}))
    assert "ok" == found.level
    assert f"float32 in ONNX Runtime {told.strip()}" in found.text


def test_doctor_checks_a_data_directory(hashed: type[HashEncoder], tmp_path: Path) -> None:
    folder = tmp_path / "data"
    settings = settings_for(memory={"directory": folder})
    with EditMemory.open(folder, encoder=hashed()) as memory:
        memory.create(draft(1))
        busy = run_check(checks.check_data, settings)
        assert "fail" == busy.level
        assert "running server" in busy.text
    found = run_check(checks.check_data, settings)
    assert "ok" == found.level, found.text
    assert "1 active edits" in found.text
    (folder / "errata.db").write_bytes(b"not a database at all" * 100)
    assert "fail" == run_check(checks.check_data, settings).level


def test_doctor_finds_a_port_in_use() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        found = run_check(checks.check_port, settings_for(server={"listen": address}))
    assert "fail" == found.level
    assert "--listen" in found.text


@pytest.mark.parametrize(
    ("server", "said"),
    [
        ({"listen": "0.0.0.0:0"}, "Refusing to listen"),
        ({"listen": "127.0.0.1:0", "keys": "none.toml"}, "cannot be read"),
        ({"listen": "127.0.0.1:0", "tls_cert": "cert.pem"}, "go together"),
        ({"listen": "127.0.0.1:0", "tls_cert": "c.pem", "tls_key": "k.pem"}, "cannot be read"),
    ],
)
def test_doctor_refuses_the_addresses_that_a_server_refuses(
    server: dict[str, str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = run_check(checks.check_port, settings_for(server=server))
    assert "fail" == found.level
    assert said in found.text


@pytest.mark.parametrize(
    "routing", [{"error_budget": 0.1}, {"namespace_budgets": {"medical": 0.1}}]
)
def test_doctor_refuses_a_budget_that_the_classifier_cannot_promise(
    hashed: type[HashEncoder], routing: dict[str, Any]
) -> None:
    section = {"classifier": "subject", **routing}
    found = run_check(checks.check_scope, settings_for(routing=section))
    assert "fail" == found.level
    assert "budget" in found.text
    fine = run_check(checks.check_scope, settings_for(routing={"classifier": "subject"}))
    assert "ok" == fine.level, fine.text


def test_doctor_names_a_model_that_does_not_exist(tmp_path: Path) -> None:
    settings = settings_for(model={"name": str(tmp_path / "no-model")})
    found = run_check(checks.check_model, settings)
    assert "fail" == found.level
    assert "no-model" in found.text
