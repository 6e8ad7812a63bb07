"""Settings: which source wins, and refusals that name key, value and what was expected."""

from pathlib import Path

import pytest
from pydantic import BaseModel

from memory.errors import StartupError
from runtime.config import CONFIG_FILE_VARIABLE, Settings, read_settings


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(CONFIG_FILE_VARIABLE, raising=False)


def config_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    file = tmp_path / "errata.toml"
    file.write_text(text, encoding="utf-8")
    monkeypatch.setenv(CONFIG_FILE_VARIABLE, str(file))


def test_flags_win_over_environment_over_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config_file(
        tmp_path,
        monkeypatch,
        '[server]\nlisten = "127.0.0.1:1"\nworkers = 3\ndrain_s = 7\n[model]\nthreads = 5\n',
    )
    monkeypatch.setenv("ERRATA_SERVER__LISTEN", "127.0.0.1:2")
    monkeypatch.setenv("ERRATA_SERVER__WORKERS", "4")
    settings = read_settings({"server": {"listen": "127.0.0.1:3", "workers": None}})
    assert "127.0.0.1:3" == settings.server.listen
    assert 4 == settings.server.workers
    assert 7 == settings.server.drain_s
    assert 5 == settings.model.threads


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        ({"server": {"listen": "nonsense"}}, "server.listen"),
        ({"server": {"listen": "127.0.0.1:70000"}}, "server.listen"),
        ({"server": {"wrong_key": 1}}, "server.wrong_key"),
        ({"routing": {"error_budget": 0.0}}, "routing.error_budget"),
        ({"routing": {"namespace_budgets": {"medical": 1.0}}}, "namespace_budgets.medical"),
        ({"routing": {"namespace_budgets": {"No Name": 0.1}}}, "namespace_budgets.*No Name"),
        ({"model": {"device": "abacus"}}, "model.device"),
        ({"encoder": {"dtype": "int4"}}, "encoder.dtype"),
        ({"nonsense": {"key": 1}}, "nonsense"),
    ],
)
def test_a_bad_value_refuses_to_start_and_names_the_key(
    flags: dict[str, dict[str, object]], named: str
) -> None:
    with pytest.raises(StartupError, match=named):
        read_settings(flags)


def test_a_missing_file_refuses_to_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CONFIG_FILE_VARIABLE, "/nowhere/errata.toml")
    with pytest.raises(StartupError, match=r"/nowhere/errata\.toml"):
        read_settings()


def test_a_file_that_does_not_parse_refuses_to_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config_file(tmp_path, monkeypatch, "[server\n")
    with pytest.raises(StartupError, match=r"errata\.toml"):
        read_settings()


@pytest.mark.parametrize(
    ("text", "key", "said"),
    [
        ("[server]\nworker = 4\n", "server.worker = 4", "the nearest is server.workers"),
        ("[modle]\nname = 'x'\n", "modle = ", "the nearest is [model]"),
        ('listen = "127.0.0.1:1"\n', "listen = ", "the nearest is server.listen"),
        ("[server]\ndtype = 'fp32'\n", "server.dtype = 'fp32'", "the nearest is model.dtype"),
        ("[memory]\nzzz = 1\n", "memory.zzz = 1", "[memory] has directory, index_device"),
        ("[zzz]\n", "zzz = ", "sections are server, model"),
        ("[model]\nthreads = -1\n", "model.threads = -1", "greater than or equal to 0"),
    ],
)
def test_a_key_of_the_file_that_cannot_be_is_named_with_the_nearest_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, key: str, said: str
) -> None:
    config_file(tmp_path, monkeypatch, text)
    with pytest.raises(StartupError) as refused:
        read_settings()
    message = str(refused.value)
    assert key in message
    assert f"(in {tmp_path / 'errata.toml'})" in message
    assert said in message
    assert "--print-config` lists every setting" in message


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "ERRATA_MODEL__DEVISE",
            "(variable ERRATA_MODEL__DEVISE): no such setting; the nearest is",
        ),
        ("ERRATA_MODLE__DEVICE", "MODLE__DEVICE: no such setting; the nearest is model.device"),
        ("errata_model_device", "errata_model_device: no such setting; two underscores part"),
        ("errata_model_device", "section and field: ERRATA_MODEL__DEVICE"),
    ],
)
def test_a_misspelt_variable_is_named_with_the_nearest_setting(
    monkeypatch: pytest.MonkeyPatch, name: str, said: str
) -> None:
    monkeypatch.setenv(name, "cpu")
    with pytest.raises(StartupError) as refused:
        read_settings()
    assert said in str(refused.value)
    assert "--print-config` lists every setting" in str(refused.value)


def test_what_a_cluster_injects_for_a_service_of_that_name_is_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ERRATA_SERVER_PORT", "tcp://10.0.0.1:50051")
    monkeypatch.setenv("ERRATA_SERVER_SERVICE_HOST", "10.0.0.1")
    assert read_settings().server.listen


def test_a_flag_is_not_blamed_on_the_file_that_it_wins_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config_file(tmp_path, monkeypatch, "[model]\nthreads = 2\n")
    with pytest.raises(StartupError) as refused:
        read_settings({"model": {"threads": -1}})
    assert "model.threads = -1:" in str(refused.value)
    with pytest.raises(StartupError, match=r"server\.listen = 'x': expected HOST:PORT"):
        read_settings({"server": {"listen": "x"}})


@pytest.mark.parametrize("name", ["ERRATA_MODLE__DEVICE", "ERRATA_MODEL__DEVISE", "ERRATA_MODEL"])
def test_a_variable_that_names_no_setting_refuses_to_start(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "cpu")
    with pytest.raises(StartupError, match=r"(?i)mod(le|el)"):
        read_settings()


def test_a_variable_of_the_client_is_no_setting_of_the_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ERRATA_ADDRESS", "127.0.0.1:1")
    assert read_settings().server.listen


def test_a_bad_variable_is_not_blamed_on_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ERRATA_MODEL", "some/model")
    with pytest.raises(StartupError) as refused:
        read_settings()
    assert "file" not in str(refused.value)
    assert "ERRATA_MODEL__NAME" in str(refused.value)


def test_budgets_by_namespace_are_a_table_of_the_file_or_a_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config_file(tmp_path, monkeypatch, "[routing.namespace_budgets]\nmedical = 0.002\n")
    assert {"medical": 0.002} == read_settings().routing.namespace_budgets
    monkeypatch.setenv("ERRATA_ROUTING__NAMESPACE_BUDGETS__LEGAL", "0.01")
    assert {"medical": 0.002, "legal": 0.01} == read_settings().routing.namespace_budgets


def test_settings_are_frozen() -> None:
    settings = read_settings()
    with pytest.raises(ValueError, match="frozen"):
        settings.server = settings.server
    with pytest.raises(ValueError, match="frozen"):
        settings.server.listen = "127.0.0.1:9"


def test_every_setting_is_documented() -> None:
    """A field's sentence stands right under it in the source; this walks the tree and counts."""
    import ast
    import inspect

    from runtime import config

    tree = ast.parse(inspect.getsource(config))
    checked = 0
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name.endswith("Section"):
            fields = [i for i, part in enumerate(node.body) if isinstance(part, ast.AnnAssign)]
            for place in fields:
                after = node.body[place + 1]
                assert isinstance(after, ast.Expr), ast.unparse(node.body[place])
                assert isinstance(after.value, ast.Constant)
                checked += 1
    sections = [field.annotation for field in Settings.model_fields.values()]
    assert checked == sum(
        len(section.model_fields)
        for section in sections
        if isinstance(section, type) and issubclass(section, BaseModel)
    )
