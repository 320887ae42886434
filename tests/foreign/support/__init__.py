"""What the foreign suite is made of: processes, upstreams, the server, clients, and the comparison of records.

- `process`: programs in process groups of their own, which never outlive the suite;
- `waiting`: conditions waited for with a deadline, instead of sleeps;
- `values`: items that hold every attribute type;
- `tree`: a stream of many shards, written and read;
- `upstreams`: dynoxide, MiniStack, moto and the simulator, each on a free loopback port, and tables in them, by boto3;
- `contract`: the stubs, made from the .proto files when the suite starts;
- `server`: `shardstream serve` over an upstream;
- `client`: the gRPC calls, and the promises that every answer must keep;
- `bloop_reader`: a program for bloop's own environment, which reads a stream with bloop and tells its token;
- `example`: the Python example, as a process;
- `same`: one shape for a record read by boto3 and a record read by gRPC, so that `==` compares them whole.
"""
