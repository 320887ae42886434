"""All 32 levels that DynamoDB nests arrive in other languages, whose readers stop at 100 levels of protobuf.

Node by its usual gRPC client, Java by its protobuf library on the bytes of the messages; Go is grpcurl: see test_grpcurl.py.
"""

import importlib.resources
import subprocess

import pytest
from grpc_tools import protoc

from support import contract as c
from support import upstreams, values
from support.client import horizon
from support.upstreams import ROOT, Missing, bare_environment, program

HERE = ROOT / "tests" / "foreign" / "other_languages"
INSTALLED = ROOT / "target" / "foreign"


def needed(variable, *places):
    """A program, if it is there."""
    try:
        return program(variable, *places)
    except Missing as missing:
        if upstreams.REQUIRED:
            raise
        pytest.skip(str(missing))


def printed(command, **environment):
    """What a client printed: a sequence number and a depth for each record."""
    command = [str(part) for part in command]
    done = subprocess.run(command, env=bare_environment(**environment), capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    return [(number, int(depth)) for number, depth in (line.split() for line in done.stdout.splitlines())]


@pytest.fixture
def expected(written):
    """The same of every record that boto3 reads."""
    found = []
    for record in written.records:
        image = record["dynamodb"].get("NewImage", {})
        found.append((record["dynamodb"]["SequenceNumber"], max(map(values.depth, image.values()), default=0)))
    assert max(depth for _, depth in found) >= values.CONTAINERS
    return found


def test_node_reads_all_levels(server, written, expected):
    node, modules = needed("NODE", "node"), INSTALLED / "node" / "node_modules"
    if not modules.exists() and not upstreams.REQUIRED:
        pytest.skip(f"{modules} is not there: run tests/foreign/run")
    command = [node, HERE / "subscribe.js", server.address, written.stream_arn, ROOT / "proto"]
    assert printed(command, NODE_PATH=str(modules)) == expected


def test_java_reads_all_levels(client, written, expected, tmp_path):
    java, library = needed("JAVA", "java"), INSTALLED / "java" / "protobuf-java.jar"
    if not library.exists() and not upstreams.REQUIRED:
        pytest.skip(f"{library} is not there: run tests/foreign/run")
    descriptors = tmp_path / "descriptors"
    well_known = importlib.resources.files("grpc_tools") / "_proto"
    arguments = [f"-I{ROOT / 'proto'}", f"-I{well_known}", "--include_imports", f"--descriptor_set_out={descriptors}"]
    assert protoc.main(["protoc", *arguments, "shardstream/v1/stream_service.proto"]) == 0
    # The bytes as they come, which no other reader has made anew.
    request = c.SubscribeRequest(stream=written.stream_arn, position=horizon(), until=c.Until(at_tip=True))
    subscribe = client.plain.unary_stream(
        "/shardstream.v1.StreamService/Subscribe", c.SubscribeRequest.SerializeToString, lambda message: message
    )
    files = []
    for number, message in enumerate(subscribe(request, timeout=60)):
        files.append(tmp_path / f"message {number}")
        files[-1].write_bytes(message)
    assert printed([java, "-cp", library, HERE / "Decode.java", descriptors, *files]) == expected
