"""A server that answers Subscribe by a script and keeps what it was asked, for clients whose server has to have a bad day."""

from concurrent import futures

import grpc
from google.protobuf.duration_pb2 import Duration

from . import contract as c

SHARD = "shardId-1"


def records(*keys, token=""):
    """A message of records, numbered by their keys."""
    made = [c.ChangeRecord(key={"pk": c.AttributeValue(s=key)}, meta=c.Meta(sequence_number=key)) for key in keys]
    return c.SubscribeResponse(records=made, shard_id=SHARD, token=token)


def gap(after, certain, token):
    """Records behind one are lost, or may be."""
    return c.SubscribeResponse(gap=c.Gap(shard_id=SHARD, after_sequence_number=after, certain=certain), token=token)


def end(reason, token, delay=None):
    """The last message, and after how many seconds to come again."""
    after = None if delay is None else Duration(nanos=int(delay * 1e9))
    return c.SubscribeResponse(end=c.End(reason=reason, retry_delay=after), token=token)


class Scripted(c.StreamServiceServicer):
    """`answers`: for each call its messages, and the status that follows them (None: OK). Then every call fails."""

    def __init__(self, *answers):
        self._answers = list(answers)
        self.asked = []
        # A thread for each call would let a client that comes too early overtake itself.
        self._server = grpc.server(futures.ThreadPoolExecutor(max_workers=1))
        c.add_StreamServiceServicer_to_server(self, self._server)
        port = self._server.add_insecure_port("127.0.0.1:0")
        self.address = f"127.0.0.1:{port}"
        self._server.start()

    def Subscribe(self, request, context):
        self.asked.append(request)
        if not self._answers:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, "the script is at its end")
        messages, status = self._answers.pop(0)
        yield from messages
        if status is not None:
            context.abort(status, "as the script says")

    def stop(self):
        self._server.stop(None)
