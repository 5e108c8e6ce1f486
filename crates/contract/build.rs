//! Compiles `proto/` into Rust code and one descriptor set, without `protoc`.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use prost::Message;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let proto = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto").canonicalize()?;
    println!("cargo::rerun-if-changed={}", proto.display());

    let mut files = Vec::new();
    proto_files(&proto, &mut files)?;
    files.sort();
    let mut compiler = protox::Compiler::new([&proto])?;
    compiler.include_source_info(true).include_imports(true).open_files(&files)?;

    // The bytes, not the prost types: those drop options such as google.api.http.
    let descriptors = compiler.encode_file_descriptor_set();
    let out_dir = env::var("OUT_DIR")?;
    fs::write(Path::new(&out_dir).join("descriptors.bin"), &descriptors)?;
    fs::write(Path::new(&out_dir).join("files.rs"), list(&proto, &files)?)?;

    tonic_prost_build::configure()
        .bytes(".")
        // A message with a map has the same bytes each time, so that a digest of them recognizes a request.
        .btree_map(".")
        .include_file("contract.rs")
        .compile_fds(prost_types::FileDescriptorSet::decode(descriptors.as_slice())?)?;
    Ok(())
}

/// A Rust list of the files, each with its name and its text.
fn list(proto: &Path, files: &[PathBuf]) -> Result<String, Box<dyn std::error::Error>> {
    let mut list = String::from("&[\n");
    for path in files {
        let name = path.strip_prefix(proto)?;
        list.push_str(&format!("({name:?}, include_str!({path:?})),\n"));
    }
    Ok(list + "]")
}

fn proto_files(dir: &Path, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            proto_files(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "proto") {
            found.push(path);
        }
    }
    Ok(())
}
