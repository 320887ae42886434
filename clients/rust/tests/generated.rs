//! The messages in `src/v1.rs` are those that the proto files make.
//!
//! `SHARDSTREAM_WRITE=1 cargo test -p shardstream-client --test generated` writes them.

use std::{env, fs, path::Path};

#[test]
fn the_messages_are_up_to_date() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let proto = root.join("../../proto");
    let out = tempfile::tempdir().expect("a folder");
    let mut compiler = protox::Compiler::new([&proto]).expect("the folder of proto files");
    compiler.include_imports(true).include_source_info(true);
    for file in ["shard_service.proto", "stream_service.proto", "server_service.proto"] {
        compiler.open_file(proto.join("shardstream/v1").join(file)).expect("a valid file");
    }
    tonic_prost_build::configure()
        .build_server(false)
        // Sorted maps: attributes come in the order of their names.
        .btree_map(".")
        .out_dir(out.path())
        .compile_fds(compiler.file_descriptor_set())
        .expect("generated");
    let made = fs::read_to_string(out.path().join("shardstream.v1.rs")).expect("one package");

    let kept = root.join("src/v1.rs");
    if env::var_os("SHARDSTREAM_WRITE").is_some() {
        fs::write(&kept, &made).expect("written");
    }
    let kept = fs::read_to_string(kept).unwrap_or_default();
    assert!(made == kept, "src/v1.rs is out of date: write it with SHARDSTREAM_WRITE=1");
}
