//! The instances that load works on: registered once per target and kept to the end, so that queries and heartbeats
//! meet a registry that is not empty, and so that no round pays for setting it up again.

use anyhow::{Result, ensure};

use super::{Session, bulk, census};
use crate::client::Instance;

/// Services of the fixture.
pub const SERVICES: usize = 100;

/// Instances of each.
pub const INSTANCES_PER_SERVICE: usize = 5;

/// The instances, in an order in which neighbours belong to different services.
#[derive(Debug, Clone)]
pub struct Fixture {
    /// All instances.
    pub instances: Vec<Instance>,
}

impl Fixture {
    /// Registers the fixture and waits until every node shows all of it.
    ///
    /// # Errors
    /// When a registration fails or a node does not show all of them in time.
    pub async fn place(session: &Session<'_>) -> Result<Self> {
        let instances: Vec<_> = (0..SERVICES * INSTANCES_PER_SERVICE)
            .map(|it| session.instance(&format!("{}-fixture-{}", session.tag, it % SERVICES), it))
            .collect();
        let done = bulk::register(session, &instances).await?;
        ensure!(done.failed == 0, "{} registrations of the fixture failed: {}", done.failed, done.first_error());
        let population = census::by_service(&instances);
        for client in session.clients {
            let late = census::wait_complete(session, client, &population).await;
            ensure!(late.is_empty(), "{} does not show {} services of the fixture", client.address(), late.len());
        }
        Ok(Self { instances })
    }

    /// Names of the services.
    pub fn services(&self) -> impl Iterator<Item = &str> {
        self.instances.iter().take(SERVICES).map(|it| it.service.as_str())
    }
}
