"""The folders' arrows: an import may only point down the list, and folders say what they hold."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# What each folder may import of ours. `protos` is known to services, client and server only.
ALLOWED: dict[str, set[str]] = {
    "memory": set(),
    "classifiers": {"memory"},
    "runtime": {"classifiers", "memory"},
    "runtime/services": {"classifiers", "memory", "runtime", "protos"},
    "evaluation": {"runtime", "classifiers", "memory"},
    "errata": {"protos", "evaluation", "runtime", "classifiers", "memory", "server"},
    "protos": {"protos"},
    "pocket": {"evaluation", "runtime", "classifiers", "memory"},
    "benchmarks": {"errata", "server", "evaluation", "runtime", "classifiers", "memory", "protos"},
    "server.py": {"errata", "evaluation", "runtime", "classifiers", "memory", "protos"},
}
OURS = {name.split("/")[0].removesuffix(".py") for name in ALLOWED}


def sources() -> list[Path]:
    """Returns every source file of the folders named above."""
    found = [ROOT / "server.py"] if (ROOT / "server.py").exists() else []
    for folder in ALLOWED:
        if "/" not in folder and not folder.endswith(".py"):
            found.extend(sorted((ROOT / folder).rglob("*.py")))
    return found


def folder_of(path: Path) -> str:
    """Names the most specific folder of ALLOWED that holds `path`."""
    relative = path.relative_to(ROOT).as_posix()
    fitting = [name for name in ALLOWED if relative == name or relative.startswith(name + "/")]
    return max(fitting, key=len)


def imported(path: Path) -> set[str]:
    """Returns the top-level folders of ours that `path` imports."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively; imports are literal here"
            names.add(node.module or "")
    return {name.split(".")[0] for name in names} & OURS


@pytest.mark.parametrize("path", sources(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_imports_point_down_the_list(path: Path) -> None:
    folder = folder_of(path)
    own = folder.split("/")[0].removesuffix(".py")
    assert set() == imported(path) - ALLOWED[folder] - {own}


def test_the_arrow_test_sees_a_wrong_import(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.py"
    wrong.write_text("import os\nfrom runtime.router import choose_route\n", encoding="utf-8")
    assert {"runtime"} == imported(wrong)


@pytest.mark.parametrize("folder", sorted(name for name in ALLOWED if not name.endswith(".py")))
def test_every_folder_says_what_it_holds_and_nothing_else(folder: str) -> None:
    text = (ROOT / folder / "__init__.py").read_text(encoding="utf-8")
    tree = ast.parse(text)
    assert ast.get_docstring(tree)
    assert 1 == len(tree.body)


def test_no_package_file_hides_our_folders_from_the_tests() -> None:
    assert [] == sorted((ROOT / "tests").rglob("__init__.py"))
