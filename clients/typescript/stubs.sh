#!/usr/bin/env bash
# Makes the message classes in src/v1 from the proto files, with ts-proto and the grpcio-tools of the given Python.
# They are committed; CI runs this and fails when they differ.
#
#     clients/typescript/stubs.sh .venv-clients/bin/python
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
out=src/v1 python=$1
# The messages of google.rpc come with googleapis-common-protos.
google=$("$python" -c 'import os, google.rpc.status_pb2 as status; print(os.path.dirname(status.__file__))')/../..
options=(env=browser useExactTypes=false forceLong=number oneof=unions-value useMapType=true unknownFields=true removeEnumPrefix=true
    importSuffix=.js esModuleInterop=true outputJsonMethods=false outputServices=generic-definitions exportCommonSymbols=false)
rm -rf "$out" && mkdir -p "$out"
"$python" -m grpc_tools.protoc -I../../proto -I"$google" --plugin=node_modules/.bin/protoc-gen-ts_proto \
    --ts_proto_out="$out" --ts_proto_opt="$(IFS=, && echo "${options[*]}")" \
    ../../proto/shardstream/v1/*.proto google/rpc/status.proto google/rpc/error_details.proto
# One folder, without the name of the program that made them.
find "$out" -name '*.ts' -exec sed -i '/protoc-gen-ts_proto *v\|protoc  *v/d' {} +
