"""The command line reads the same records, and prints data on stdout and talk on stderr."""

import json
import re
import subprocess

import pytest

from support import same
from support.process import Process
from support.upstreams import bare_environment, shardstream


@pytest.fixture
def cli(server):
    """Runs a client command against the server: `cli("get", ...)` returns the objects it printed, one a line.

    What it said beside them is then in `cli.talk`.
    """

    def run(*arguments, code=0):
        command = [shardstream(), *arguments, "--server", f"http://{server.address}", "--output", "json"]
        done = subprocess.run(command, env=bare_environment(), capture_output=True, text=True, timeout=60)
        assert done.returncode == code, done.stderr
        run.talk = done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    return run


def changes(objects):
    """The records among what was printed: events have their name in the place of `meta`."""
    return [found for found in objects if "meta" in found]


def test_get_prints_what_boto3_reads(cli, written):
    printed = changes(cli("get", written.stream_arn, written.shard_id, "--from", "trim-horizon"))
    same.assert_same(printed, written.records, same.from_cli)
    assert {record["shard_id"] for record in printed} == {written.shard_id}


def test_get_takes_a_table_name_and_goes_on_from_a_token(cli, written):
    first = changes(cli("get", written.table.name, written.shard_id, "--from", "trim-horizon", "-n", "5"))
    same.assert_same(first, written.records[:5], same.from_cli)
    rest = changes(cli("get", written.table.name, written.shard_id, "--from", first[-1]["token"]))
    same.assert_same(rest, written.records[5:], same.from_cli)


def test_tail_prints_what_boto3_reads(cli, written):
    printed = cli("tail", written.table.name, written.shard_id, "--from", "trim-horizon", "--exit-at-tip")
    same.assert_same(changes(printed), written.records, same.from_cli)


def test_tail_stops_after_a_count_and_goes_on_from_its_token(cli, written):
    first = changes(cli("tail", written.table.name, written.shard_id, "--from", "trim-horizon", "-n", "10"))
    same.assert_same(first, written.records[:10], same.from_cli)
    rest = changes(cli("tail", written.table.name, "--from", first[-1]["token"], "--exit-at-tip"))
    same.assert_same(rest, written.records[10:], same.from_cli)


def test_tail_of_a_whole_stream_prints_what_boto3_reads_and_goes_on_from_its_token(cli, written):
    first = changes(cli("tail", written.table.name, "--from", "trim-horizon", "-n", "10"))
    same.assert_same(first, written.records[:10], same.from_cli)
    (token,) = re.findall(r"go on with: .* --from (\S+)", cli.talk)
    rest = changes(cli("tail", written.table.name, "--from", token, "--exit-at-tip"))
    same.assert_same(rest, written.records[10:], same.from_cli)


def test_tail_prints_records_as_they_are_written(server, table):
    command = [shardstream(), "tail", table.name, table.shard_id, "--from", "trim-horizon", "--output", "json"]
    process = Process("tail", [*command, "--server", f"http://{server.address}"], bare_environment())
    try:
        objects = lambda: changes(json.loads(line) for line in process.lines if line.startswith("{"))
        for count in range(1, 4):
            table.put(f"item {count}")
            process.wait_for(lambda: len(objects()) == count, f"record {count} printed")
        same.assert_same(objects(), table.records(), same.from_cli)
    finally:
        process.kill()


def test_streams_and_tree_and_children_show_what_there_is(cli, written, table):
    listed = {stream["stream_arn"]: stream for stream in cli("streams")}
    assert {written.stream_arn, table.stream_arn} <= set(listed)
    assert listed[written.stream_arn]["table_name"] == written.table.name
    (stream,) = cli("streams", written.table.name)
    assert stream["stream_arn"] == written.stream_arn
    (shard,) = cli("tree", written.table.name)
    assert shard["shard_id"] == written.shard_id and shard["depth"] == 0
    assert cli("children", written.table.name, written.shard_id) == []


def test_what_does_not_exist_has_its_exit_code(cli, written):
    assert cli("get", "no-such-table", written.shard_id, code=3) == []
    assert cli("tail", written.table.name, "no-such-shard", code=3) == []


def test_the_tree_is_drawn_for_people(server, written):
    command = [shardstream(), "tree", written.table.name, "--server", f"http://{server.address}"]
    done = subprocess.run(command, env=bare_environment(), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert written.table.name in done.stdout
    assert "\x1b" not in done.stdout, "no colours where nobody looks"
