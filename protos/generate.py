"""Generates the committed stubs from the .proto files: `python protos/generate.py`, from anywhere.

Uses whichever grpcio-tools is importable. The committed stubs come from the oldest one we support,
1.75.1 (protobuf 6), because generated code loads under every newer runtime but under no older one:
`make protos` sets up an environment with exactly that version. Given a folder, writes there
instead, so that a test can compare.
"""

from __future__ import annotations

import shutil
import sys
import sysconfig
import tempfile
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PROTOS = ("resources", "inference", "memory", "consolidation")
TOOLS_VERSION = "1.75.1"  # What the committed stubs are made with.


def proto_paths() -> list[str]:
    """Returns the .proto files, relative to the root, so that stubs import each other literally."""
    return [f"protos/errata/v1/{name}.proto" for name in PROTOS]


def run_protoc(arguments: list[str], *, root: Path = ROOT) -> None:
    """Runs protoc with the include folders of the project below `root`.

    Raises RuntimeError when protoc refuses; its complaint is on stderr.
    """
    compiler: Any = import_module("grpc_tools._protoc_compiler")  # A tool of developers only.

    well_known = Path(compiler.__file__).parent / "_proto"
    site_packages = Path(sysconfig.get_paths()["purelib"])  # google/rpc/*.proto
    with tempfile.TemporaryDirectory() as renamed:
        _rename_operations(site_packages, Path(renamed))
        includes = [f"-I{folder}" for folder in (root, well_known, renamed, site_packages)]
        line = ["protoc", *includes, *arguments]
        if status := compiler.run_main([argument.encode() for argument in line]):
            raise RuntimeError(f"protoc ended with status {status}; see its message above")


def _rename_operations(site_packages: Path, folder: Path) -> None:
    """Puts operations.proto under the name that its own stub is registered by.

    The package ships it as operations_proto.proto, which no descriptor pool knows.
    """
    target = folder / "google/longrunning/operations.proto"
    target.parent.mkdir(parents=True)
    shutil.copy(site_packages / "google/longrunning/operations_proto.proto", target)


def generate(output: Path, *, root: Path = ROOT) -> None:
    """Writes the stubs (.py, .pyi, _grpc.py) below `output`, in the folders of the .proto files."""
    kinds = [f"--{kind}_out={output}" for kind in ("python", "pyi", "grpc_python")]
    run_protoc([*kinds, *proto_paths()], root=root)


def main() -> int:
    """Regenerates in place, or into the folder given as the only argument."""
    output = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT
    generate(output)
    installed = version("grpcio-tools")
    if installed != TOOLS_VERSION and output == ROOT:
        sys.stderr.write(
            f"Generated with grpcio-tools {installed}; commit only what {TOOLS_VERSION} makes"
            " (`make protos`), so that older protobuf runtimes can load it.\n"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
