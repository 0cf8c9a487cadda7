//! The switch at work: one thread that moves packets between the endpoints' devices as [`Lines`] decides.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context;
use parking_lot::Mutex;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;
use tun_rs::SyncDevice;

use super::lines::{Lines, Port};

/// Packets taken from one device before the others have their turn.
const BATCH: usize = 128;

/// Longer than any packet.
const BUFFER_BYTES: usize = 65_536;

/// Every endpoint waits for this thread, so it goes before them where that is allowed.
const PRIORITY: i32 = -15;

/// Owns the thread and, with it, the devices. Dropping it ends both.
#[derive(Debug)]
pub(super) struct Switch {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    lines: Mutex<Lines>,
    begun: Instant,
    stop: AtomicBool,
    /// Wakes the thread: the rules changed, or it is to stop.
    wake: OwnedFd,
}

impl Switch {
    /// Starts to move packets between `devices`, in the order of the addresses of `lines`.
    pub(super) fn start(lines: Lines, devices: Vec<SyncDevice>) -> anyhow::Result<Self> {
        let wake = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC).context("no eventfd")?;
        let shared =
            Arc::new(Shared { lines: Mutex::new(lines), begun: Instant::now(), stop: AtomicBool::new(false), wake });
        let theirs = shared.clone();
        let thread = std::thread::Builder::new()
            .name("switch".to_owned())
            .spawn(move || {
                // Refused to most users; it only costs evenness then.
                let _ = rustix::process::setpriority_process(None, PRIORITY);
                if let Err(error) = theirs.work(&devices) {
                    tracing::error!("the network between the nodes is down: {error:#}");
                }
            })
            .context("cannot start the thread of the switch")?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Changes or reads the links; the time given is the switch's own.
    pub(super) fn with_lines<T>(&self, work: impl FnOnce(&mut Lines, Duration) -> T) -> T {
        let result = work(&mut self.shared.lines.lock(), self.shared.begun.elapsed());
        self.shared.wake();
        result
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        self.shared.wake();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn wake(&self) {
        // The only failure is a counter that is full already, which wakes as well.
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }

    fn work(&self, devices: &[SyncDevice]) -> anyhow::Result<()> {
        let mut buffer = vec![0_u8; BUFFER_BYTES];
        let mut ready: Vec<Port> = Vec::with_capacity(devices.len());
        loop {
            self.wait(devices, &mut ready)?;
            if self.stop.load(Ordering::Acquire) {
                return Ok(());
            }
            for &port in &ready {
                self.take_from(port, devices, &mut buffer);
            }
            self.deliver_due(devices);
        }
    }

    /// Waits until a device has a packet, one that waits is due, or somebody wakes the thread.
    fn wait(&self, devices: &[SyncDevice], ready: &mut Vec<Port>) -> anyhow::Result<()> {
        let timeout = self.lines.lock().next_due().map(|due| due.saturating_sub(self.begun.elapsed()));
        let timeout = timeout.map(Timespec::try_from).transpose().context("a packet waits too long")?;
        let mut polled: Vec<PollFd<'_>> = devices.iter().map(|device| PollFd::new(device, PollFlags::IN)).collect();
        polled.push(PollFd::new(&self.wake, PollFlags::IN));
        match poll(&mut polled, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error).context("cannot wait for packets"),
        }
        ready.clear();
        ready.extend((0..devices.len()).filter(|port| polled.get(*port).is_some_and(|it| !it.revents().is_empty())));
        let _ = rustix::io::read(&self.wake, &mut [0_u8; 8]);
        Ok(())
    }

    fn take_from(&self, port: Port, devices: &[SyncDevice], buffer: &mut [u8]) {
        let Some(device) = devices.get(port) else { return };
        for _ in 0..BATCH {
            // Anything but a packet means that there is none for now; a namespace that ends takes its device down.
            let Ok(length) = device.recv(buffer) else { return };
            let packet = buffer.get(..length).unwrap_or_default();
            let to = self.lines.lock().send(self.begun.elapsed(), port, packet);
            if let Some(to) = to {
                self.give(port, to, devices, packet);
            }
        }
    }

    fn deliver_due(&self, devices: &[SyncDevice]) {
        loop {
            let next = self.lines.lock().next_arrival(self.begun.elapsed());
            let Some((from, to, packet)) = next else { return };
            self.give(from, to, devices, &packet);
        }
    }

    fn give(&self, from: Port, to: Port, devices: &[SyncDevice], packet: &[u8]) {
        let given = devices.get(to).is_some_and(|device| device.send(packet).is_ok());
        if !given {
            self.lines.lock().failed(from, to);
        }
    }
}
