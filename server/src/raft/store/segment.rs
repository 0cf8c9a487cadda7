//! A file of the journal: frames one after another, each a batch that was made durable at once.
//!
//! A frame is a head (length and checksum of the body, then a checksum over these and where the frame stands) and the
//! body. Frames are only ever added, and each is durable before the next is begun, so that a crash can leave one frame
//! at most half-written, at the end.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::damaged;
use super::record::CRC;
use crate::raft::core::store::StoreError;

const SUFFIX: &str = ".journal";
const HEAD: usize = 24;
/// What a medium writes whole or not at all.
const SECTOR: u64 = 512;

/// The files in a folder, by number.
pub(super) fn numbers(folder: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        numbers.extend(name.to_str().and_then(|name| name.strip_suffix(SUFFIX)?.parse::<u64>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

pub(super) fn path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:020}{SUFFIX}"))
}

/// A file that can be added to.
#[derive(Debug)]
pub(super) struct Segment {
    number: u64,
    file: File,
    /// Where the next frame begins.
    end: u64,
    /// An attempt to add something failed: what is behind the end must go first.
    is_unsure: bool,
}

impl Segment {
    /// Makes a file that begins with this body. It is made beside its place first: a file that is there has been whole.
    pub(super) fn make(folder: &Path, number: u64, body: &[u8]) -> io::Result<Self> {
        let aside = folder.join("next");
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&aside)?;
        let mut segment = Segment { number, file, end: 0, is_unsure: false };
        segment.add(body)?;
        fs::rename(&aside, path(folder, number))?;
        File::open(folder)?.sync_all()?;
        Ok(segment)
    }

    /// Opens a file whose frames end at `end`; what is behind goes.
    pub(super) fn open(folder: &Path, number: u64, end: u64) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path(folder, number))?;
        let is_unsure = file.metadata()?.len() > end;
        Ok(Segment { number, file, end, is_unsure })
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// The same file, to read from.
    pub(super) fn reader(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// Adds a frame and makes it durable; says where its body begins. When it fails nothing counts as added, and it can
    /// be tried again.
    pub(super) fn add(&mut self, body: &[u8]) -> io::Result<u64> {
        if self.is_unsure {
            self.file.set_len(self.end)?;
        }
        self.is_unsure = true;
        let mut frame = Vec::with_capacity(HEAD + body.len());
        frame.extend_from_slice(&head(self.number, self.end, body));
        frame.extend_from_slice(body);
        self.file.write_all_at(&frame, self.end)?;
        self.file.sync_data()?;
        self.is_unsure = false;
        let begins = self.end + HEAD as u64;
        self.end += frame.len() as u64;
        Ok(begins)
    }

    /// Writes into whatever is given instead of the file.
    #[cfg(test)]
    pub(super) fn swap(&mut self, file: File) -> File {
        std::mem::replace(&mut self.file, file)
    }
}

fn head(number: u64, at: u64, body: &[u8]) -> [u8; HEAD] {
    let (length, sum) = ((body.len() as u64).to_be_bytes(), CRC.checksum(body).to_be_bytes());
    let mut head = [0; HEAD];
    head[..8].copy_from_slice(&length);
    head[8..16].copy_from_slice(&sum);
    let sum = head_sum(number, at, &head[..16]).to_be_bytes();
    head[16..].copy_from_slice(&sum);
    head
}

fn head_sum(number: u64, at: u64, of: &[u8]) -> u64 {
    let mut digest = CRC.digest();
    digest.update(&number.to_be_bytes());
    digest.update(&at.to_be_bytes());
    digest.update(of);
    digest.finalize()
}

/// The length and checksum that a frame at this place says its body has; `None` when no frame begins there.
fn begin(number: u64, bytes: &[u8], at: u64) -> Option<(u64, u64)> {
    let rest = bytes.get(usize::try_from(at).ok()?..)?;
    let field = |from: usize| rest.get(from..from + 8)?.try_into().ok().map(u64::from_be_bytes);
    let (length, sum, of_head) = (field(0)?, field(8)?, field(16)?);
    (head_sum(number, at, &rest[..16]) == of_head).then_some((length, sum))
}

/// Hands on the bodies in a file and where they begin, as far as they are whole; says where that ends.
pub(super) fn read(
    number: u64,
    bytes: &[u8],
    mut take: impl FnMut(u64, &[u8]) -> Result<(), StoreError>,
) -> Result<u64, StoreError> {
    let mut at = 0;
    while let Some((length, sum)) = begin(number, bytes, at) {
        let begins = at + HEAD as u64;
        let body = usize::try_from(begins).ok().and_then(|begins| bytes.get(begins..)?.get(..length.try_into().ok()?));
        let Some(body) = body.filter(|body| CRC.checksum(body) == sum) else { break };
        take(begins, body)?;
        at = begins + length;
    }
    Ok(at)
}

/// Whether what is behind the last whole frame is one that a crash cut off while it was written, and not one that the
/// medium changed later: it is not all there, or a whole sector of it was never written.
pub(super) fn is_cut_off(number: u64, bytes: &[u8], at: u64) -> Result<(), StoreError> {
    let end = bytes.len() as u64;
    let within = match begin(number, bytes, at) {
        Some((length, _)) => at.saturating_add(HEAD as u64).saturating_add(length) > end,
        None => end - at < HEAD as u64,
    };
    let is_followed = (at + 1..end).any(|later| begin(number, bytes, later).is_some());
    let unwritten = |from: u64| {
        let to = (from / SECTOR * SECTOR + SECTOR).min(end);
        let piece = usize::try_from(from).ok().zip(usize::try_from(to).ok()).and_then(|(from, to)| bytes.get(from..to));
        piece.is_some_and(|piece| piece.iter().all(|byte| *byte == 0))
    };
    let sectors =
        std::iter::successors(Some(at), |from| Some(from / SECTOR * SECTOR + SECTOR)).take_while(|it| *it < end);
    if !is_followed && (within || sectors.into_iter().any(unwritten)) {
        return Ok(());
    }
    Err(damaged(format!("the journal {number} is not what was written from byte {at} on")))
}
