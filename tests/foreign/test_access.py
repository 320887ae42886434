"""Who calls, as clients in other languages see it: each connects by its certificate and by a JWT, and is told what is wrong
when something is. Nothing of ours is in the clients: gRPC's own library for Python, Node, Go and Java, and grpcurl.
"""

import base64
import json
import re
import subprocess
import time

import grpc
import pytest

from support import contract as c
from support import upstreams
from support.server import Server
from support.upstreams import ROOT, bare_environment, program

HERE = ROOT / "tests" / "foreign" / "other_languages"
INSTALLED = ROOT / "target" / "foreign"
ISSUER = "https://id.example"

PKI = """
for ca in ca other; do
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=$ca -keyout $ca.key -out $ca.pem
done
sign() {
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=$1 -keyout $1.key -out $1.csr
  openssl x509 -req -in $1.csr -CA $2.pem -CAkey $2.key -days $3 -out $1.pem -extfile <(printf "subjectAltName=$4")
}
sign server ca 30 'DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth'
sign client ca 30 'URI:spiffe://example/billing\nextendedKeyUsage=clientAuth'
sign stranger other 30 'URI:spiffe://example/billing\nextendedKeyUsage=clientAuth'
sign expired ca -1 'URI:spiffe://example/billing\nextendedKeyUsage=clientAuth'
openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out issuer.key
"""


def base64url(data):
    """As JWTs have it."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Issuer:
    """Signs JWTs by RS256, with OpenSSL."""

    def __init__(self, folder):
        self._key = folder / "issuer.key"
        modulus = self._openssl("rsa", "-noout", "-modulus", "-in", self._key).decode().strip().removeprefix("Modulus=")
        key = {"kty": "RSA", "alg": "RS256", "use": "sig", "kid": "one", "e": "AQAB", "n": base64url(bytes.fromhex(modulus))}
        self.keys = folder / "keys.json"
        self.keys.write_text(json.dumps({"keys": [key]}))

    def token(self, **claims):
        """One that is good but for what the claims say."""
        good = {"iss": ISSUER, "aud": "shardstream", "sub": "billing", "exp": int(time.time()) + 600}
        parts = [json.dumps(part).encode() for part in ({"alg": "RS256", "kid": "one"}, good | claims)]
        text = ".".join(map(base64url, parts))
        return f"{text}.{base64url(self._openssl('dgst', '-sha256', '-sign', self._key, given=text.encode()))}"

    @staticmethod
    def _openssl(*arguments, given=b""):
        return subprocess.run(["openssl", *map(str, arguments)], input=given, capture_output=True, check=True, timeout=30).stdout


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    """A folder with two CAs, the certificates that they signed, and an issuer of JWTs."""
    folder = tmp_path_factory.mktemp("pki")
    done = subprocess.run(["bash", "-ec", PKI], cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def issuer(pki):
    """Whom the server believes."""
    return Issuer(pki)


def serving(pki, *flags):
    """A server by TLS, over an upstream that it need not reach."""
    files = ["--tls-cert", pki / "server.pem", "--tls-key", pki / "server.key"]
    return Server("http://127.0.0.1:1", "--aws-fake-credentials", *files, *flags, name="server that asks who calls")


@pytest.fixture(scope="module")
def mutual(pki):
    """A server whose clients show a certificate."""
    server = serving(pki, "--tls-client-ca", pki / "ca.pem")
    yield server.address
    server.kill()


@pytest.fixture(scope="module")
def tokens(pki, issuer):
    """A server whose clients show a JWT."""
    jwt = ["--jwt-issuer", ISSUER, "--jwt-audience", "shardstream", "--jwt-jwks", issuer.keys]
    server = serving(pki, *jwt)
    yield server.address
    server.kill()


def python(asked):
    """grpcio."""
    files = [asked[name] and open(asked[name], "rb").read() for name in ("ca", "key", "certificate")]
    metadata = [("authorization", f"Bearer {asked['token']}")] if asked["token"] else []
    with grpc.secure_channel(asked["server"], grpc.ssl_channel_credentials(*files)) as channel:
        try:
            c.ServerServiceStub(channel).GetServerInfo(c.GetServerInfoRequest(), timeout=20, metadata=metadata)
        except grpc.RpcError as failed:
            return failed.code().name, failed.details()
    return "OK", ""


def grpcurl(asked):
    """What it prints, without the fields of the details. Without that variable it says of a connection that broke nothing but
    that its time was over: docs/operations.md."""
    command = [needed("GRPCURL", INSTALLED / "bin" / "grpcurl"), "-connect-timeout", "2", "-max-time", "20", "-cacert", asked["ca"]]
    if asked["certificate"]:
        command += ["-cert", asked["certificate"], "-key", asked["key"]]
    if asked["token"]:
        command += ["-rpc-header", f"authorization: Bearer {asked['token']}"]
    # Without reflection, which is a call of its own and refused the same way.
    command += ["-import-path", ROOT / "proto", "-proto", "shardstream/v1/server_service.proto", asked["server"]]
    command = [*map(str, command), "shardstream.v1.ServerService/GetServerInfo"]
    environment = bare_environment(GRPC_GO_LOG_SEVERITY_LEVEL="warning")
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    if done.returncode == 0:
        return "OK", ""
    found = re.search(r"Code: (\w+)\n\s*Message: (.*)", done.stderr)
    return found.groups() if found else ("", done.stderr)


def needed(variable, *places):
    """A program, if it is there."""
    try:
        return program(variable, *places)
    except upstreams.Missing as missing:
        if upstreams.REQUIRED:
            raise
        pytest.skip(str(missing))


def talking(command, line, answer, **environment):
    """A client that reads what to call with from stdin, and prints the status of each call."""
    process = subprocess.Popen(
        [*map(str, command)],
        env=bare_environment(**environment), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip

    def ask(asked):
        process.stdin.write(line(asked) + "\n")
        process.stdin.flush()
        return answer(process.stdout.readline())

    return process, ask


def as_json(text):
    """The status of one call."""
    said = json.loads(text)
    return said["code"], said["text"]


def start(language):
    """The client of a language."""
    if language == "Node":
        modules = INSTALLED / "node" / "node_modules"
        command = [needed("NODE", "node"), HERE / "who.js", ROOT / "proto"]
        return talking(command, json.dumps, as_json, NODE_PATH=str(modules))
    if language == "Go":
        return talking([needed("GO_WHO", INSTALLED / "go" / "who")], json.dumps, as_json)
    if language == "Java":
        fields = ("server", "ca", "certificate", "key", "token")
        told = lambda asked: "\t".join(asked[name] or "" for name in fields)  # noqa: E731
        return talking([needed("JAVA_WHO", INSTALLED / "java-example" / "who")], told, lambda text: text.rstrip("\n").split("\t"))
    return None, {"Python": python, "grpcurl": grpcurl}[language]


@pytest.fixture(scope="module", params=["Python", "Node", "Go", "Java", "grpcurl"])
def client(request, pki):
    """Calls GetServerInfo once with what a client shows, and returns the status and the text that its user sees."""
    process, ask = start(request.param)

    def call(server, ca="ca", shows=None, token=None):
        files = {"certificate": f"{pki}/{shows}.pem", "key": f"{pki}/{shows}.key"} if shows else {"certificate": None, "key": None}
        code, text = ask({"server": server, "ca": f"{pki}/{ca}.pem", **files, "token": token})
        # Go and grpcurl write PermissionDenied where others write PERMISSION_DENIED.
        return code.replace("_", "").upper(), text

    call.language = request.param
    yield call
    if process is not None:
        process.kill()


ALERTS = {
    "none": r"certificate[ _]required",
    "of another CA": r"unknown[ _]ca",
    "expired": r"certificate[ _]expired|expired certificate",
    "of a server that is not trusted": r"verify|unable to find valid certification path",
}
"""What the connection broke by, as the libraries spell it."""


def test_a_certificate_gets_in(client, mutual):
    assert client(mutual, shows="client") == ("OK", "")


@pytest.mark.parametrize(
    "what, shown",
    [
        ("none", {}),
        ("of another CA", {"shows": "stranger"}),
        ("expired", {"shows": "expired"}),
        ("of a server that is not trusted", {"shows": "client", "ca": "other"}),
    ],
)
def test_what_is_wrong_with_a_certificate_is_told(client, mutual, what, shown, capfd):
    code, text = client(mutual, **shown)
    if client.language in ("Go", "Java", "grpcurl") and what == "of another CA":
        # The server says which CAs it takes, and these show no certificate of any other.
        what = "none"
    if client.language == "Python":
        # The status says that the connection broke; what it broke by the library writes to stderr.
        text += capfd.readouterr().err
    # grpcurl never gets as far as a status.
    assert code == ("" if client.language == "grpcurl" else "UNAVAILABLE")
    assert re.search(ALERTS[what], text, re.IGNORECASE), text


def test_a_jwt_gets_in(client, tokens, issuer):
    assert client(tokens, token=issuer.token()) == ("OK", "")
    assert client(tokens, token=issuer.token(aud=["other", "shardstream"])) == ("OK", "")


def test_an_expired_jwt_is_told_to_be_renewed(client, tokens, issuer):
    token = issuer.token(exp=int(time.time()) - 60)
    assert client(tokens, token=token) == ("UNAUTHENTICATED", "these credentials have expired: get others")


def test_a_jwt_for_another_audience_is_nobodys(client, tokens, issuer):
    assert client(tokens, token=issuer.token(aud="other")) == ("UNAUTHENTICATED", "these credentials are nobody's")


def test_who_shows_no_jwt_is_told_to(client, tokens):
    assert client(tokens) == ("UNAUTHENTICATED", "this server wants to know who calls: show what it accepts")
