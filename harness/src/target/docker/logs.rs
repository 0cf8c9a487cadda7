//! What a container leaves to read: its output, its logs and its configuration.

use std::path::Path;

use anyhow::{Context, bail};
use futures::TryStreamExt;
use testcontainers::bollard::query_parameters::DownloadFromContainerOptionsBuilder;

use super::{Container, HOME};

/// A container that has logged more than this is not kept whole in memory to be copied.
const MOST_BYTES: usize = 256 << 20;

impl Container {
    /// Copies `logs/` and `conf/` to `dest`, and the output to `dest/logs/stdout.log`. A part that the image does not
    /// have is left out.
    pub(crate) async fn keep(&self, dest: &Path) -> anyhow::Result<()> {
        let logs = dest.join("logs");
        std::fs::create_dir_all(&logs).with_context(|| format!("cannot create {}", logs.display()))?;
        for part in ["logs", "conf"] {
            if let Some(archive) = self.download(&format!("{HOME}/{part}")).await? {
                let mut archive = tokio_tar::Archive::new(archive.as_slice());
                archive.unpack(dest).await.with_context(|| format!("cannot unpack {part} to {}", dest.display()))?;
            }
        }
        let output = logs.join("stdout.log");
        std::fs::write(&output, self.output().await).with_context(|| format!("cannot write {}", output.display()))
    }

    /// A directory as a tar archive; `None` when there is no such directory.
    async fn download(&self, path: &str) -> anyhow::Result<Option<Vec<u8>>> {
        let options = DownloadFromContainerOptionsBuilder::default().path(path).build();
        let mut stream = std::pin::pin!(self.engine.download_from_container(self.handle.id(), Some(options)));
        let mut archive = Vec::new();
        loop {
            match stream.try_next().await {
                Ok(Some(part)) => archive.extend_from_slice(&part),
                Ok(None) => return Ok(Some(archive)),
                Err(_) if archive.is_empty() => return Ok(None),
                Err(error) => return Err(error).with_context(|| format!("cannot read {path} of a container")),
            }
            if archive.len() > MOST_BYTES {
                bail!("{path} of a container holds more than {} MiB", MOST_BYTES >> 20);
            }
        }
    }
}
