//! Images: what an image is, how it is named, and where it comes from.

use std::time::Duration;

use anyhow::{Context, bail};
use testcontainers::GenericImage;
use testcontainers::bollard::Docker;
use testcontainers::bollard::models::ImageInspect;
use testcontainers::runners::AsyncRunner;

use crate::target::NodeKind;

/// Label of this project's own image, with its version.
const TANDEM_LABEL: &str = "org.tandem.server";

/// Label of the image that takes the official one's place, with the version of Nacos in it (`compat/docker/stand-in`).
const STAND_IN_LABEL: &str = "org.tandem.stand-in";

/// Repository of the official image, whatever registry it came through.
const OFFICIAL_REPOSITORY: &str = "nacos/nacos-server";

/// Pulling an image.
const PULL_TIMEOUT: Duration = Duration::from_secs(900);

/// Asking a registry whether it has an image.
const ASK_TIMEOUT: Duration = Duration::from_secs(5);

/// What runs in the containers of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Contents {
    pub(crate) kind: NodeKind,
    pub(crate) version: String,
    /// How its nodes are launched, in words.
    pub(crate) launch: &'static str,
    /// The image's name and id.
    pub(crate) artifact: String,
}

/// Pulls an image unless it is here, and says what is in it.
pub(crate) async fn contents(engine: &Docker, image: &str) -> anyhow::Result<Contents> {
    ensure_image(engine, image).await?;
    let seen = engine.inspect_image(image).await.with_context(|| format!("the image {image} cannot be looked at"))?;
    Ok(contents_of(image, &seen))
}

fn contents_of(image: &str, seen: &ImageInspect) -> Contents {
    let labels = seen.config.as_ref().and_then(|config| config.labels.as_ref());
    let label = |name: &str| labels.and_then(|labels| labels.get(name)).cloned();
    let (name, tag) = split_tag(image);
    let (kind, version, launch) = if let Some(version) = label(STAND_IN_LABEL) {
        (NodeKind::Nacos, version, "container of the stand-in image (Maven artifacts)")
    } else if let Some(version) = label(TANDEM_LABEL) {
        (NodeKind::Tandem, version, "container")
    } else if name == OFFICIAL_REPOSITORY || name.ends_with(&format!("/{OFFICIAL_REPOSITORY}")) {
        (NodeKind::Nacos, tag.trim_start_matches('v').to_owned(), "container of the official image")
    } else {
        (NodeKind::Docker, "unknown".to_owned(), "container")
    };
    let id = seen.id.as_deref().unwrap_or("of unknown id");
    Contents { kind, version, launch, artifact: format!("{image} {id}") }
}

/// Tag of an official version: up to 1.4.2 the bare number, then with a `v` before it.
pub(crate) fn official_tag(version: &str) -> String {
    let numbers: Vec<u32> = version.split('.').filter_map(|part| part.parse().ok()).collect();
    if numbers.as_slice() > [1, 4, 2].as_slice() { format!("v{version}") } else { version.to_owned() }
}

/// Pulls an image unless it is here already.
async fn ensure_image(engine: &Docker, image: &str) -> anyhow::Result<()> {
    if engine.inspect_image(image).await.is_ok() {
        return Ok(());
    }
    let (name, tag) = split_tag(image);
    let pulled = tokio::time::timeout(PULL_TIMEOUT, GenericImage::new(name, tag).pull_image()).await;
    match pulled {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(error).with_context(|| format!("the image {image} cannot be pulled")),
        Err(_) => bail!("the image {image} was not pulled within {} s", PULL_TIMEOUT.as_secs()),
    }
}

/// Whether an image is here or its registry has it. Pulls nothing.
pub(crate) async fn can_be_had(engine: &Docker, image: &str) -> bool {
    if engine.inspect_image(image).await.is_ok() {
        return true;
    }
    let asked = tokio::time::timeout(ASK_TIMEOUT, engine.inspect_registry_image(image, None)).await;
    matches!(asked, Ok(Ok(_)))
}

/// `registry:5000/a/b:tag` → name and tag; the part after the last colon is a tag only when it holds no slash.
pub(super) fn split_tag(image: &str) -> (&str, &str) {
    match image.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, tag),
        _ => (image, "latest"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use testcontainers::bollard::models::ImageConfig;

    use super::*;

    #[test]
    fn the_tag_is_what_follows_the_last_colon_unless_that_is_a_port() {
        assert_eq!(split_tag("nacos/nacos-server:v1.4.3"), ("nacos/nacos-server", "v1.4.3"));
        assert_eq!(split_tag("localhost:5000/nacos"), ("localhost:5000/nacos", "latest"));
        assert_eq!(split_tag("nacos"), ("nacos", "latest"));
    }

    #[test]
    fn tags_of_the_official_image_changed_after_1_4_2() {
        for (version, tag) in [("1.1.4", "1.1.4"), ("1.4.2", "1.4.2"), ("1.4.3", "v1.4.3"), ("2.0.0", "v2.0.0")] {
            assert_eq!(official_tag(version), tag);
        }
    }

    #[test]
    fn an_image_is_what_its_label_says_or_its_repository() {
        let of = |image: &str, label: Option<(&str, &str)>| {
            let labels = label.map(|(name, value)| HashMap::from([(name.to_owned(), value.to_owned())]));
            let config = Some(ImageConfig { labels, ..ImageConfig::default() });
            let seen = ImageInspect { id: Some("sha256:1".to_owned()), config, ..ImageInspect::default() };
            let contents = contents_of(image, &seen);
            assert_eq!(contents.artifact, format!("{image} sha256:1"));
            (contents.kind, contents.version)
        };
        let is = |kind: NodeKind, version: &str| (kind, version.to_owned());
        assert_eq!(of("nacos/nacos-server:v1.4.3", None), is(NodeKind::Nacos, "1.4.3"));
        assert_eq!(of("mirror:5000/nacos/nacos-server:1.4.1", None), is(NodeKind::Nacos, "1.4.1"));
        assert_eq!(of("mynacos/nacos-server:1", None), is(NodeKind::Docker, "unknown"));
        // The label tells the stand-in from the real image even when it is given the real image's name.
        let stand_in = contents_of(
            "nacos/nacos-server:1.4.1",
            &ImageInspect {
                config: Some(ImageConfig {
                    labels: Some(HashMap::from([(STAND_IN_LABEL.to_owned(), "1.4.1".to_owned())])),
                    ..ImageConfig::default()
                }),
                ..ImageInspect::default()
            },
        );
        assert!(stand_in.launch.contains("stand-in"), "{stand_in:?}");
        assert_eq!(of("a:b", Some((TANDEM_LABEL, "0.1.0"))), is(NodeKind::Tandem, "0.1.0"));
    }
}
