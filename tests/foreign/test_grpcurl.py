"""grpcurl works from reflection alone: it is given an address and nothing else."""

import json
import subprocess

import pytest
from google.protobuf.json_format import ParseDict

from support import contract as c
from support import same
from support.client import horizon


@pytest.fixture
def grpcurl(grpcurl_program, server):
    """Runs grpcurl against the server and returns what it printed."""

    def run(*words, data=None):
        flags = ["-plaintext", "-max-time", "30"] + (["-d", json.dumps(data)] if data is not None else [])
        command = [grpcurl_program, *flags, server.address, *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def objects(text):
    """The JSON objects that follow each other in a text."""
    decoder, found, place = json.JSONDecoder(), [], 0
    while place < len(text.rstrip()):
        value, place = decoder.raw_decode(text, place)
        found.append(value)
        while text[place : place + 1].isspace():
            place += 1
    return found


def test_it_lists_the_services_and_their_methods(grpcurl):
    services = {method.split("/")[1] for method in c.METHODS}
    assert services | {"grpc.health.v1.Health"} <= set(grpcurl("list").split())
    listed = {line for service in services for line in grpcurl("list", service).split()}
    assert listed == {method.lstrip("/").replace("/", ".") for method in c.METHODS}


def test_it_describes_messages_with_their_comments(grpcurl):
    described = grpcurl("describe", "shardstream.v1.StreamRecordsRequest")
    assert "google.protobuf.Duration heartbeat_interval = 7" in described
    assert "How often to send a heartbeat." in described
    assert "rpc StreamRecords" in grpcurl("describe", "shardstream.v1.ShardService")


def test_it_calls_a_unary_method(grpcurl, client):
    (info,) = objects(grpcurl("shardstream.v1.ServerService/GetServerInfo"))
    assert ParseDict(info, c.GetServerInfoResponse()) == client.server.GetServerInfo(c.GetServerInfoRequest())


def test_it_prints_a_stream_of_records_with_every_value_in_them(grpcurl, client, written):
    request = {
        "start": {
            "shard": {"stream": written.table.name, "shardId": written.shard_id},
            "position": {"iteratorType": "ITERATOR_TYPE_TRIM_HORIZON"},
        },
        "until": {"recordCount": str(len(written.records))},
    }
    printed = objects(grpcurl("shardstream.v1.ShardService/StreamRecords", data=request))
    # JSON has more levels than the message: 100 are not enough.
    messages = [ParseDict(message, c.StreamRecordsResponse(), max_recursion_depth=300) for message in printed]
    assert messages[-1].end.reason == c.END_REASON_LIMIT
    records = [record for message in messages for record in message.records]
    same.assert_same(records, written.records)
    assert records[:20] == list(client.get(written, horizon(), max_records=20).records)


def test_it_prints_a_whole_stream_with_every_value_in_it(grpcurl, client, written):
    request = {
        "stream": written.table.name,
        "position": {"iteratorType": "ITERATOR_TYPE_TRIM_HORIZON"},
        "until": {"recordCount": str(len(written.records))},
    }
    printed = objects(grpcurl("shardstream.v1.StreamService/Subscribe", data=request))
    messages = [ParseDict(message, c.SubscribeResponse(), max_recursion_depth=300) for message in printed]
    assert messages[0].shard_open.shard.shard_id == written.shard_id
    assert messages[-1].end.reason == c.END_REASON_LIMIT
    same.assert_same([record for message in messages for record in message.records], written.records)
    # The token that it printed is pasted into the next call.
    rest = {"token": printed[-1]["token"], "until": {"atTip": True}}
    printed = objects(grpcurl("shardstream.v1.StreamService/Subscribe", data=rest))
    assert printed[-1]["end"]["reason"] == "END_REASON_LIMIT" and not any("records" in message for message in printed)


def test_it_names_fields_as_json_does(grpcurl):
    (info,) = objects(grpcurl("shardstream.v1.ServerService/GetServerInfo"))
    assert "maxRecords" in info["limits"]
