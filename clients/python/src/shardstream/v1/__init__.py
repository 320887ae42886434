"""The messages of the contract, made from `proto/shardstream/v1` by stubs.sh."""
