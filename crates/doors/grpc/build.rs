//! Compiles the published `.proto` files, without any program of the system.

use std::error::Error;
use std::path::PathBuf;

use prost::Message as _;

const PROTO: &str = "../../../proto";
const FILES: [&str; 4] = [
    "cairn/dataset/v1/dataset.proto",
    "cairn/block/v1/block.proto",
    "cairn/kv/v1/kv.proto",
    "cairn/function/v1/function.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={PROTO}");
    let descriptors = protox::compile(FILES, [PROTO])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("cairn.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        .build_transport(false)
        .codec_path("crate::codec::Codec")
        .bytes(".")
        .compile_fds(descriptors)?;
    Ok(())
}
