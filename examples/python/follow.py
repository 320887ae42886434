"""Follows a whole stream, and goes on where it stopped, whatever stopped it.

    pip install grpcio-tools
    python -m grpc_tools.protoc -Iproto --python_out=. --grpc_python_out=. proto/shardstream/v1/*.proto
    PYTHONPATH=. python examples/python/follow.py TABLE TOKEN_FILE [HOST:PORT]
"""

import pathlib
import sys
import time

import grpc
from shardstream.v1.position_pb2 import ITERATOR_TYPE_TRIM_HORIZON, Position
from shardstream.v1.stream_service_pb2 import SubscribeRequest
from shardstream.v1.stream_service_pb2_grpc import StreamServiceStub

# UNAVAILABLE: the server went away. OUT_OF_RANGE: a gap was told; the token stands behind it, and going on accepts the loss.
COME_AGAIN = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.OUT_OF_RANGE)


def follow(table, kept, server="localhost:50051"):
    """Prints the records of a table's streams; `kept` is the file that keeps the token."""
    stub = StreamServiceStub(grpc.insecure_channel(server))
    while True:
        token = kept.read_text() if kept.exists() else ""
        start = {"token": token} if token else {"position": Position(iterator_type=ITERATOR_TYPE_TRIM_HORIZON)}
        pause = None
        try:
            for message in stub.Subscribe(SubscribeRequest(stream=table, **start)):
                tell(message)
                if message.WhichOneof("event") == "end" and message.end.HasField("retry_delay"):
                    pause = message.end.retry_delay.ToTimedelta().total_seconds()
                if message.token:  # Not on every message. It covers all that came up to here, and nothing else.
                    keep(kept, message.token)
            return  # Only `until`, or a stream named by its ARN, has an end.
        except grpc.RpcError as error:
            if pause is None and error.code() not in COME_AGAIN:
                raise
            time.sleep(1 if pause is None else pause)


def tell(message):
    """What to do with records, and with what was lost. Other events need nothing done."""
    for record in message.records:
        print(message.shard_id, record.meta.sequence_number, {name: value.s or value.n for name, value in record.key.items()})
    if message.WhichOneof("event") == "gap":
        gap, where = message.gap, message.gap.after_sequence_number or "its beginning"
        print(f"{gap.shard_id} {'lost' if gap.certain else 'may have lost'} records after {where}", file=sys.stderr)


def keep(file, token):
    """Replaces the file at once, so that it is whole whenever this program is killed."""
    draft = file.with_name(file.name + ".new")
    draft.write_text(token)
    draft.replace(file)


if __name__ == "__main__":
    follow(sys.argv[1], pathlib.Path(sys.argv[2]), *sys.argv[3:])
