"""TLS as clients in other languages see it: certificates made by the commands of `docs/operations.md`, gRPC's own library
for Python, and grpcurl."""

import re
import subprocess

import grpc
import pytest

from support import contract as c
from support.server import Server
from support.upstreams import ROOT

FILES = {"tls-cert": "server.pem", "tls-key": "server.key", "tls-client-ca": "ca.pem"}


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    """The folder in which the document's commands that make certificates were run."""
    folder = tmp_path_factory.mktemp("pki")
    document = (ROOT / "docs" / "operations.md").read_text()
    commands = re.search(r"## TLS, from nothing\n.*?```sh\n(.*?)```", document, re.DOTALL).group(1)
    done = subprocess.run(["bash", "-ec", commands], cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def secured(pki):
    """A server whose clients show a certificate, over an upstream that it need not reach."""
    flags = [part for flag, file in FILES.items() for part in (f"--{flag}", pki / file)]
    server = Server("http://127.0.0.1:1", "--aws-fake-credentials", *flags, name="server by TLS")
    yield server
    server.kill()


def info(address, credentials):
    """What the server says of itself."""
    channel = grpc.secure_channel(address, credentials) if credentials else grpc.insecure_channel(address)
    with channel:
        return c.ServerServiceStub(channel).GetServerInfo(c.GetServerInfoRequest(), timeout=10)


def credentials(pki, *names):
    return grpc.ssl_channel_credentials(*((pki / name).read_bytes() if name else None for name in names))


def test_python_is_served_by_address_and_by_name(pki, secured):
    ours = credentials(pki, "ca.pem", "client.key", "client.pem")
    assert info(secured.address, ours) == info(secured.address.replace("127.0.0.1", "localhost"), ours)


@pytest.mark.parametrize(
    "names",
    [["ca.pem"], [None, "client.key", "client.pem"], ["ca.pem", "server.key", "server.pem"], None],
    ids=["no certificate", "no trust", "a certificate of servers", "plain text"],
)
def test_python_is_refused_at_once(pki, secured, names):
    with pytest.raises(grpc.RpcError) as refused:
        info(secured.address, names and credentials(pki, *names))
    # Not DEADLINE_EXCEEDED: it hears of it.
    assert refused.value.code() == grpc.StatusCode.UNAVAILABLE, refused.value.details()


def test_grpcurl_is_served_with_a_certificate_and_not_without(pki, secured, grpcurl_program):
    def run(*flags):
        command = [grpcurl_program, "-connect-timeout", "2", "-max-time", "30", *flags, secured.address, "list"]
        return subprocess.run(command, cwd=pki, capture_output=True, text=True, timeout=60)

    served = run("-cacert", "ca.pem", "-cert", "client.pem", "-key", "client.key")
    assert "shardstream.v1.ShardService" in served.stdout, served.stderr
    # It tries on until its time is over, and does not say why.
    for refused in [["-cacert", "ca.pem"], ["-plaintext"]]:
        assert run(*refused).returncode != 0
