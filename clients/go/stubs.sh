#!/usr/bin/env bash
# Makes the message classes and calls in v1 from the proto files. They are committed, so that users need no build step; CI runs
# this and fails when they differ.
#
#     clients/go/stubs.sh .venv-clients
set -euo pipefail
tools=$(realpath "$1")
cd "$(dirname "${BASH_SOURCE[0]}")"
GOBIN=$tools/go/bin go install google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.11
GOBIN=$tools/go/bin go install google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.6.0
rm -rf v1
PATH="$tools/go/bin:$PATH" "$tools/bin/python" -m grpc_tools.protoc -I../../proto \
    --go_out=. --go_opt=module=shardstream --go-grpc_out=. --go-grpc_opt=module=shardstream ../../proto/shardstream/v1/*.proto
