//! `naming_persistent.zip`: a file per key, as official members keep them (compat/spec/jraft.md §7).

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;

use bytes::Bytes;
use crc::{CRC_64_ECMA_182, Crc};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use crate::raft::naming_state::KeyValues;

const CRC: Crc<u64> = Crc::<u64>::new(&CRC_64_ECMA_182);
/// The folder inside the archive.
const FOLDER: &str = "naming_persistent";
/// Unpacked; far more than any cluster holds, and a bound for what a damaged archive may claim.
const BYTES_MAX: u64 = 2 * 1024 * 1024 * 1024;
const META_PREFIX: &str = "com.alibaba.nacos.naming.domains.meta.";
const LIST_PREFIX: &str = "com.alibaba.nacos.naming.iplist.";

/// Writes an archive, durable, and returns its checksum.
///
/// # Errors
/// When it cannot be written.
pub(super) fn write(path: &Path, held: &KeyValues) -> io::Result<String> {
    let mut zip = ZipWriter::new(BufWriter::new(File::create(path)?));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    for (key, value) in held {
        let Some(key) = std::str::from_utf8(key).ok().filter(|key| super::is_file_name(key)) else {
            tracing::warn!(?key, "a key that is no file name goes into no snapshot");
            continue;
        };
        let name = match namespace(key) {
            "" => format!("{FOLDER}/{key}"),
            namespace => format!("{FOLDER}/{namespace}/{key}"),
        };
        zip.start_file(name, options)?;
        zip.write_all(value)?;
    }
    zip.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    checksum(path)
}

/// The namespace an official member files a key under; none for the switches.
fn namespace(key: &str) -> &str {
    let Some((start, _)) = key.split_once("##") else { return "" };
    start.strip_prefix(META_PREFIX).or_else(|| start.strip_prefix(LIST_PREFIX)).unwrap_or("")
}

/// Reads an archive; the last part of a name is the key.
///
/// # Errors
/// When it is none, or one of its files is damaged.
pub(super) fn read(path: &Path) -> io::Result<KeyValues> {
    let mut zip = ZipArchive::new(BufReader::new(File::open(path)?))?;
    let mut held = KeyValues::new();
    let mut left = BYTES_MAX;
    for at in 0..zip.len() {
        let mut file = zip.by_index(at)?;
        let key = file.name_raw().rsplit(|byte| matches!(byte, b'/' | b'\\')).next().map(Bytes::copy_from_slice);
        let Some(key) = key.filter(|key| !key.is_empty()) else { continue };
        let mut value = Vec::new();
        left -= file.by_ref().take(left).read_to_end(&mut value)? as u64;
        if left == 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it unpacks to more than any cluster holds"));
        }
        held.insert(key, value.into());
    }
    Ok(held)
}

/// CRC-64/ECMA-182 of a file as Java prints it: hexadecimal without leading zeros.
///
/// # Errors
/// When it cannot be read.
pub(super) fn checksum(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let (mut digest, mut buffer) = (CRC.digest(), vec![0; 64 * 1024]);
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(format!("{:x}", digest.finalize()));
        }
        digest.update(buffer.get(..read).unwrap_or_default());
    }
}
