"""The contract as a foreign client has it: stubs made from the .proto files alone, when the suite starts.

Every message, enum value and stub is an attribute of this module: `contract.OpenShardRequest`,
`contract.GAP_POLICY_CONTINUE`, `contract.ShardServiceStub`. `METHODS` holds the path of every RPC.
"""

import atexit
import importlib
import importlib.resources
import pathlib
import shutil
import sys
import tempfile

from grpc_tools import protoc

from .upstreams import ROOT

PROTO = ROOT / "proto"
METHODS = set()
FOLDER = tempfile.mkdtemp(prefix="shardstream-stubs-")
"""Where the stubs are, for programs that need them too."""


def _generate():
    atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)
    files = sorted(str(file.relative_to(PROTO)) for file in PROTO.rglob("*.proto"))
    well_known = importlib.resources.files("grpc_tools") / "_proto"
    arguments = [f"-I{PROTO}", f"-I{well_known}", f"--python_out={FOLDER}", f"--grpc_python_out={FOLDER}"]
    if protoc.main(["protoc", *arguments, *files]) != 0:
        raise RuntimeError("grpcio-tools cannot compile the proto files")
    sys.path.insert(0, FOLDER)
    for file in files:
        module = ".".join(pathlib.PurePath(file).with_suffix("").parts)
        messages = importlib.import_module(f"{module}_pb2")
        stubs = importlib.import_module(f"{module}_pb2_grpc")
        for found in (messages, stubs):
            globals().update({name: value for name, value in vars(found).items() if not name.startswith("_")})
        for service in messages.DESCRIPTOR.services_by_name.values():
            METHODS.update(f"/{service.full_name}/{method.name}" for method in service.methods)


_generate()
