"""What the conformance suite cannot say: Python's own, and the store in DynamoDB.

SHARDSTREAM_BIN=target/debug/shardstream python clients/python/test_client.py
"""

import asyncio
import concurrent.futures
import os
import pathlib
import sys
import tempfile
import threading
import unittest

import grpc
import shardstream
from shardstream import aio
from shardstream.v1 import stream_service_pb2

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "conformance"))
from server import Server, Writer, until


class Scripted(grpc.GenericRpcHandler):
    """Refuses the first token that it sees, for good, and gives two messages to who has another."""

    def __init__(self):
        self.refused, self.cancelled = set(), 0

    def service(self, details):
        """Every call is a subscription."""
        return grpc.unary_stream_rpc_method_handler(self._subscribe)

    def _subscribe(self, _, context):
        headers = dict(context.invocation_metadata())
        token = headers.get("authorization")
        if token is not None and not self.refused:
            self.refused.add(token)
        if token in self.refused:
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "expired")
        for number in (1, 2):
            yield stream_service_pb2.SubscribeResponse(heartbeat={}, token=f"t{number}").SerializeToString()
        over = threading.Event()
        context.add_callback(over.set)
        over.wait(20)
        self.cancelled += 1


class WithServer(unittest.TestCase):
    """A server that is scripted."""

    def setUp(self):
        """Starts it."""
        self.script = Scripted()
        server = grpc.server(concurrent.futures.ThreadPoolExecutor(40), handlers=(self.script,))
        self.target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        server.start()
        self.addCleanup(lambda: server.stop(0).wait())

    def test_closing_the_client_ends_loops_that_wait(self):
        """As if the stream had ended: no exception."""
        client = shardstream.connect(self.target)
        threading.Timer(0.2, client.close).start()
        tokens = [message.token for message in client.subscribe("orders", heartbeats=True)]
        self.assertEqual(tokens, ["t1", "t2"])
        self.assertRaises(RuntimeError, client.server_info)
        until(lambda: self.script.cancelled == 1, "cancelled", 5)

    def test_closing_the_client_ends_loops_of_asyncio_that_wait(self):
        """The task is not cancelled for it."""

        async def main():
            client = aio.connect(self.target)
            asyncio.get_running_loop().call_later(0.2, lambda: asyncio.ensure_future(client.close()))
            return [message.token async for message in client.subscribe("orders", heartbeats=True)]

        self.assertEqual(asyncio.run(main()), ["t1", "t2"])

    def test_many_streams_whose_token_is_refused_fetch_one_new_token(self):
        """The first that is refused drops it for all."""
        fetched = []

        def fetch():
            fetched.append(str(len(fetched)))
            return fetched[-1]

        async def main():
            client = aio.connect(self.target, credentials=fetch)
            streams = [client.subscribe("orders", heartbeats=True) for _ in range(20)]
            await asyncio.gather(*(anext(stream) for stream in streams))
            await client.close()

        asyncio.run(main())
        self.assertEqual(fetched, ["0", "1"])


@unittest.skipUnless("SHARDSTREAM_BIN" in os.environ, "SHARDSTREAM_BIN does not name the server")
class InDynamoDb(unittest.TestCase):
    """The store that keeps a position in an item, against the embedded DynamoDB of `shardstream dev`."""

    @classmethod
    def setUpClass(cls):
        """Starts the server, with a table to read and one to keep positions in."""
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.server = Server(os.environ["SHARDSTREAM_BIN"], cls.folder.name)
        cls.addClassCleanup(cls.server.end)
        cls.writer = Writer(cls.server, "numbers")
        cls.table = cls.writer._db.create_table(
            TableName="positions",
            KeySchema=[{"AttributeName": "reader", "KeyType": "HASH"}, {"AttributeName": "of", "KeyType": "RANGE"}],
            AttributeDefinitions=[
                {"AttributeName": "reader", "AttributeType": "S"},
                {"AttributeName": "of", "AttributeType": "N"},
            ],
            BillingMode="PAY_PER_REQUEST",
        )

    def key(self, number):
        """An item of the test's own."""
        return {"reader": self.id(), "of": number}

    def test_a_position_is_kept_and_replaced(self):
        """Beside whatever else is in the item, which it leaves alone."""
        store = shardstream.DynamoDbTokenStore(self.table, self.key(1))
        self.assertEqual(store.load(), "")
        self.table.put_item(Item={**self.key(1), "owner": "somebody", "other": "position"})
        self.assertEqual(store.load(), "")
        for position in ("t1", "t2 a7 b9", "x" * 20_000):
            store.save(position)
            self.assertEqual(store.load(), position)
            self.assertEqual(shardstream.DynamoDbTokenStore(self.table, self.key(1)).load(), position)
        item = self.table.get_item(Key=self.key(1))["Item"]
        self.assertEqual(item, {**self.key(1), "owner": "somebody", "other": "position", "position": "x" * 20_000})
        self.assertEqual(shardstream.DynamoDbTokenStore(self.table, self.key(2)).load(), "")

    def test_the_attribute_may_have_any_name(self):
        """One that DynamoDB reserves, too."""
        store = shardstream.DynamoDbTokenStore(self.table, self.key(1), attribute="values")
        store.save("t1")
        self.assertEqual(store.load(), "t1")
        self.assertEqual(self.table.get_item(Key=self.key(1))["Item"], {**self.key(1), "values": "t1"})

    def test_the_next_program_goes_on_from_there(self):
        """With the blocking client and with asyncio by turns."""
        given = []
        for turn in range(4):
            store = shardstream.DynamoDbTokenStore(self.table, self.key(1))
            read = asyncio.run(self.read_with_asyncio(store)) if turn % 2 else self.read(store)
            self.assertEqual(len(read), 50)
            given += read
        self.assertEqual(given, list(range(200)))

    def read(self, store):
        """The next 50 numbers."""
        with shardstream.connect(f"127.0.0.1:{self.server.port}") as client:
            stream = client.subscribe("numbers", store=store, until={"record_count": 50})
            return [int(record.key["n"]) for message in stream for record in message]

    async def read_with_asyncio(self, store):
        """The same."""
        async with aio.connect(f"127.0.0.1:{self.server.port}") as client:
            stream = client.subscribe("numbers", store=store, until={"record_count": 50})
            return [int(record.key["n"]) async for message in stream for record in message]


if __name__ == "__main__":
    unittest.main()
