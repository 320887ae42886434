//! Turns `proto/` into Rust without protoc.
//!
//! The messages and clients are those of the client for Rust, as anybody would have them; here come
//! the services of our server, which write records that are encoded already. Their answers with
//! records are the types of `grpc::encoded`.

use std::{env, error::Error, fs, path::PathBuf};

/// The files that hold services; what they import comes along.
const SERVICES: [&str; 3] = ["shard_service.proto", "stream_service.proto", "server_service.proto"];

/// The answers that carry records: the server writes them from encoded slices.
const ENCODED: [&str; 4] =
    ["GetRecordsResponse", "SeekToResponse", "StreamRecordsResponse", "SubscribeResponse"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=proto");
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);

    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_imports(true).include_source_info(true);
    for file in SERVICES {
        compiler.open_file(format!("proto/shardstream/v1/{file}"))?;
    }
    // For reflection, comments and all.
    fs::write(out.join("shardstream_descriptor.bin"), compiler.encode_file_descriptor_set())?;

    let server = out.join("server");
    fs::create_dir_all(&server)?;
    let mut services = tonic_prost_build::configure()
        .build_client(false)
        .out_dir(server)
        .codec_path("crate::grpc::codec::ServerCodec")
        .extern_path(".shardstream.v1", "crate::pb");
    // An exact name goes before the package it is in.
    for message in ENCODED {
        services = services.extern_path(
            format!(".shardstream.v1.{message}"),
            format!("crate::grpc::encoded::{message}"),
        );
    }
    services.compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}
