//! Makes the types and the client of the allocation API from the operator's own proto file, without a `protoc`.

use tonic_prost_build::configure;

const PROTO: &str = "cranewing/allocation/v1/allocation.proto";
const PROTOS: &str = "../proto";

fn main() -> anyhow::Result<()> {
    println!("cargo::rerun-if-changed={PROTOS}/{PROTO}");
    let builder = configure().build_server(false).build_transport(false).btree_map(".");
    Ok(builder.compile_fds(protox::compile([PROTO], [PROTOS])?)?)
}
