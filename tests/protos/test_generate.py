"""The committed stubs are those of the .proto files, whichever grpcio-tools made them."""

import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2

from protos import generate
from protos.errata.v1 import consolidation_pb2, inference_pb2, memory_pb2, resources_pb2

COMMITTED = {
    "resources": resources_pb2,
    "inference": inference_pb2,
    "memory": memory_pb2,
    "consolidation": consolidation_pb2,
}


def compiled(root: Path, name: str) -> descriptor_pb2.FileDescriptorProto:
    """The descriptor of a .proto file below `root`, by protoc itself."""
    out = root / f"{name}.bin"
    arguments = [f"--descriptor_set_out={out}", f"protos/errata/v1/{name}.proto"]
    generate.run_protoc(arguments, root=root)
    files = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes())
    return files.file[0]


def committed(name: str) -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto()
    COMMITTED[name].DESCRIPTOR.CopyToProto(file)
    return file


def without_json_names(
    file: descriptor_pb2.FileDescriptorProto,
) -> descriptor_pb2.FileDescriptorProto:
    """protoc writes json_name where the runtime leaves it to be derived."""
    pending = list(file.message_type)
    while pending:
        message = pending.pop()
        pending.extend(message.nested_type)
        for field in message.field:
            field.ClearField("json_name")
    return file


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the .proto files that a test may change."""
    for path in generate.proto_paths():
        target = tmp_path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((generate.ROOT / path).read_bytes())
    return tmp_path


@pytest.mark.parametrize("name", generate.PROTOS)
def test_the_committed_stub_has_the_descriptor_of_its_proto(copy: Path, name: str) -> None:
    assert without_json_names(committed(name)) == without_json_names(compiled(copy, name))


def test_a_changed_proto_without_new_stubs_is_noticed(copy: Path) -> None:
    proto = copy / "protos/errata/v1/memory.proto"
    proto.write_text(proto.read_text().replace("bool replayed = 4;", "bool replayed = 15;"))
    assert without_json_names(committed("memory")) != without_json_names(compiled(copy, "memory"))


@pytest.mark.parametrize("name", generate.PROTOS)
def test_the_committed_service_stubs_name_the_protos_methods(tmp_path: Path, name: str) -> None:
    generate.generate(tmp_path)
    for suffix in ("_pb2_grpc.py", "_pb2.pyi"):
        path = f"protos/errata/v1/{name}{suffix}"
        assert essence(generate.ROOT / path) == essence(tmp_path / path)


def test_stubs_that_miss_a_method_are_noticed(copy: Path, tmp_path: Path) -> None:
    proto = copy / "protos/errata/v1/memory.proto"
    proto.write_text(proto.read_text().replace("rpc GetEdit(", "rpc FetchEdit("))
    out = tmp_path / "out"
    out.mkdir()
    generate.generate(out, root=copy)
    path = "protos/errata/v1/memory_pb2_grpc.py"
    assert essence(generate.ROOT / path) != essence(out / path)


def essence(path: Path) -> list[str]:
    """The lines of a stub that do not depend on the version of its generator."""
    lines = []
    for line in path.read_text().splitlines():
        if "_VERSION" in line or "but the generated code in" in line:
            continue
        plain = line.replace("(object):", ":").replace("_Optional[bool]", "bool")
        lines.append(plain.replace("# ", ""))
    return lines


def test_the_script_runs_from_anywhere_and_leaves_the_tree_alone(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, generate.__file__, str(tmp_path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "protos/errata/v1/inference_pb2_grpc.py").is_file()
