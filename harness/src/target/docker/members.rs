//! The list of members as a file in a container, where a variable would not do.
//!
//! The images write `cluster.conf` from `NACOS_SERVERS` at every start, so a list that changes while the node runs, and
//! must still be there when it is started again, is given as the file alone.

use std::collections::BTreeSet;

use anyhow::Context;
use testcontainers::bollard::body_full;
use testcontainers::bollard::query_parameters::UploadToContainerOptionsBuilder;

use super::{Container, HOME};

/// Where images of the official layout keep the list.
pub(super) const MEMBERS_FILE: &str = "/home/nacos/conf/cluster.conf";

/// Its path below [`HOME`].
const IN_HOME: &str = "conf/cluster.conf";

impl Container {
    /// Writes the list of members; a running node reads it as soon as it changes (`compat/spec/membership.md` §2.1).
    pub(crate) async fn write_members(&self, members: &BTreeSet<String>) -> anyhow::Result<()> {
        let archive = archive(&lines(members)).await.context("cannot pack the list of members")?;
        let options = UploadToContainerOptionsBuilder::default().path(HOME).build();
        let sent = self.engine.upload_to_container(self.handle.id(), Some(options), body_full(archive.into()));
        sent.await.with_context(|| format!("cannot write {MEMBERS_FILE} in a container"))
    }
}

/// One `ip:port` per line (`compat/spec/reference-targets.md` §3).
pub(super) fn lines(members: &BTreeSet<String>) -> Vec<u8> {
    members.iter().map(|member| format!("{member}\n")).collect::<String>().into_bytes()
}

async fn archive(text: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut header = tokio_tar::Header::new_gnu();
    header.set_size(text.len() as u64);
    header.set_mode(0o644);
    let mut builder = tokio_tar::Builder::new(Vec::new());
    builder.append_data(&mut header, IN_HOME, text).await?;
    builder.into_inner().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_the_same_by_both_ways() {
        assert_eq!(format!("{HOME}/{IN_HOME}"), MEMBERS_FILE);
    }

    #[tokio::test]
    async fn the_list_is_packed_whole() {
        let members = BTreeSet::from(["127.0.0.1:2".to_owned(), "127.0.0.1:1".to_owned()]);
        let packed = archive(&lines(&members)).await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        tokio_tar::Archive::new(packed.as_slice()).unpack(dir.path()).await.unwrap();
        let read = std::fs::read_to_string(dir.path().join(IN_HOME)).unwrap();
        assert_eq!(read, "127.0.0.1:1\n127.0.0.1:2\n");
    }
}
