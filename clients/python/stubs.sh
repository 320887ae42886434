#!/usr/bin/env bash
# Makes the message classes in src/shardstream/v1 from the proto files, with the grpcio-tools of the given Python.
# They are committed, so that users need no build step; CI runs this and fails when they differ.
#
#     clients/python/stubs.sh .venv-clients/bin/python
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
out=src/shardstream/v1
rm -rf "$out"
"$1" -m grpc_tools.protoc -I../../proto --python_out=src --pyi_out=src ../../proto/shardstream/v1/*.proto
echo '"""The messages of the contract, made from `proto/shardstream/v1` by stubs.sh."""' >"$out/__init__.py"
