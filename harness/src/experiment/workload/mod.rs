//! Simulated clients and what watches the servers meanwhile. Everything goes into one history
//! ([`crate::experiment::fault::history`]), with times that only go forward.
//!
//! - [`Population`]: services and instances, and how they look on the wire; [`Recorder`]: the history while it grows
//! - [`Load`]: clients of ephemeral instances; [`Subscribers`]: who is pushed to; [`Registers`]: persistent data
//! - [`Observer`]: what a node serves, looked at again and again; [`Probe`]: how long single changes take
//! - [`PushSocket`]: the receiving end of pushes

mod load;
mod observer;
mod population;
mod probe;
mod push_socket;
mod recorder;
mod registers;
mod ring;
mod subscribers;

pub(crate) use load::{Load, Stay};
pub(crate) use observer::Observer;
pub(crate) use population::Population;
pub(crate) use probe::Probe;
pub(crate) use push_socket::PushSocket;
pub(crate) use recorder::Recorder;
pub(crate) use registers::{RegisterPlan, Registers};
pub(crate) use ring::Server;
pub(crate) use subscribers::Subscribers;

use std::sync::Arc;

/// Whether every node's last looks show exactly what lives. Only says when waiting may end; the judge decides.
pub(crate) fn all_show(load: &Load, observers: &[Arc<Observer>]) -> bool {
    let services = load.population.services().max(1);
    let mut wanted = vec![Vec::new(); services as usize];
    for index in load.live.lock().iter() {
        if let Some(it) = wanted.get_mut((index % services) as usize) {
            it.push(index / services);
        }
    }
    observers.iter().all(|it| {
        let latest = it.latest.lock();
        latest.len() == wanted.len() && latest.iter().zip(&wanted).all(|(shown, it)| shown.as_ref() == Some(it))
    })
}
