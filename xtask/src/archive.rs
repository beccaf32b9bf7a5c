//! Images without a daemon: one directory tree as the single layer of an archive that docker, podman, kind and containerd load.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::checkout::hex;

/// `cargo xtask image`
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Full image name with its tag
    name: String,
    /// Archive to write
    out: PathBuf,
    /// Tree that becomes the image's only layer
    tree: PathBuf,
    /// Program that the image starts
    entrypoint: Option<String>,
}

/// Writes the archive that the arguments describe.
pub(crate) fn run(args: &Args) -> Result<()> {
    write(&args.name, &args.out, &args.tree, args.entrypoint.as_deref())
        .with_context(|| format!("failed to write image {} to {}", args.name, args.out.display()))
}

/// Writes `tree` as image `name`. The same tree gives the same bytes: owners and times are fixed, entries are sorted.
pub(crate) fn write(name: &str, out: &Path, tree: &Path, entrypoint: Option<&str>) -> Result<()> {
    let mut layer = tar::Builder::new(Layer::new());
    append(&mut layer, tree, Path::new("."))?;
    let (diff_id, layer) = layer.into_inner()?.finish()?;

    let config = serde_json::to_vec(&json!({
        "architecture": architecture(),
        "os": "linux",
        "config": {
            "Entrypoint": entrypoint.map(|program| vec![program]),
            "Env": ["PATH=/usr/local/bin:/usr/sbin:/usr/bin"],
        },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{diff_id}")] },
    }))?;
    let config_name = format!("{}.json", hex(&Sha256::digest(&config)));
    let manifest = serde_json::to_vec(
        &json!([{ "Config": config_name, "RepoTags": [name], "Layers": ["layer.tar.gz"] }]),
    )?;

    let mut archive = tar::Builder::new(File::create(out)?);
    for (path, content) in
        [(config_name.as_str(), &config), ("layer.tar.gz", &layer), ("manifest.json", &manifest)]
    {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        archive.append_data(&mut header, path, content.as_slice())?;
    }
    archive.into_inner()?.sync_all()?;
    Ok(())
}

/// Go's name of this machine's architecture, which images use.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn append(layer: &mut tar::Builder<Layer>, source: &Path, path: &Path) -> Result<()> {
    let metadata =
        fs::symlink_metadata(source).with_context(|| format!("failed to read {}", source.display()))?;
    let mut header = tar::Header::new_gnu();
    header.set_mode(metadata.permissions().mode() & 0o7777);
    header.set_size(0);
    if metadata.is_symlink() {
        header.set_entry_type(tar::EntryType::Symlink);
        layer.append_link(&mut header, path, fs::read_link(source)?)?;
    } else if metadata.is_dir() {
        header.set_entry_type(tar::EntryType::Directory);
        layer.append_data(&mut header, path, io::empty())?;
        let mut names =
            fs::read_dir(source)?.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>()?;
        names.sort();
        for name in names {
            append(layer, &source.join(&name), &path.join(&name))?;
        }
    } else {
        header.set_size(metadata.len());
        layer.append_data(&mut header, path, File::open(source)?)?;
    }
    Ok(())
}

/// A layer on its way: compressed for the archive, hashed as it was before.
struct Layer {
    hash: Sha256,
    compressed: GzEncoder<Vec<u8>>,
}

impl Layer {
    fn new() -> Self {
        Self { hash: Sha256::new(), compressed: GzEncoder::new(Vec::new(), Compression::fast()) }
    }

    fn finish(self) -> Result<(String, Vec<u8>)> {
        Ok((hex(&self.hash.finalize()), self.compressed.finish()?))
    }
}

impl io::Write for Layer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.compressed.write_all(bytes)?;
        self.hash.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Read as _;

    use super::*;

    fn entries(archive: &[u8]) -> BTreeMap<String, Vec<u8>> {
        let mut archive = tar::Archive::new(archive);
        let read = |entry: io::Result<tar::Entry<'_, &[u8]>>| {
            let mut entry = entry.unwrap();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            (entry.path().unwrap().display().to_string(), content)
        };
        archive.entries().unwrap().map(read).collect()
    }

    #[test]
    fn an_archive_names_its_image_and_hashes_its_layer_uncompressed() {
        let scratch = std::env::temp_dir().join(format!("cranewing-archive-test-{}", std::process::id()));
        let tree = scratch.join("tree");
        fs::create_dir_all(tree.join("etc")).unwrap();
        fs::write(tree.join("etc/motd"), "welcome").unwrap();
        let out = scratch.join("image.tar");
        write("cranewing/test:1", &out, &tree, Some("/operator")).unwrap();

        let found = entries(&fs::read(&out).unwrap());
        let manifest: serde_json::Value = serde_json::from_slice(&found["manifest.json"]).unwrap();
        assert_eq!(manifest[0]["RepoTags"][0], "cranewing/test:1");
        let config: serde_json::Value =
            serde_json::from_slice(&found[manifest[0]["Config"].as_str().unwrap()]).unwrap();
        assert_eq!(config["config"]["Entrypoint"][0], "/operator");
        let mut layer = Vec::new();
        flate2::read::GzDecoder::new(found["layer.tar.gz"].as_slice()).read_to_end(&mut layer).unwrap();
        assert_eq!(config["rootfs"]["diff_ids"][0], format!("sha256:{}", hex(&Sha256::digest(&layer))));
        assert_eq!(entries(&layer)["etc/motd"], b"welcome");

        let first = fs::read(&out).unwrap();
        write("cranewing/test:1", &out, &tree, Some("/operator")).unwrap();
        assert_eq!(fs::read(&out).unwrap(), first, "the same tree gives the same bytes");
        fs::remove_dir_all(scratch).unwrap();
    }
}
