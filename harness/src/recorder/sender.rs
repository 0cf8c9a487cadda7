//! Whose a connection is: the kernel's table of sockets names an inode, and the processes' descriptors name its owner.

use std::path::Path;

/// The process among `pids` that holds the socket from local port `from` to port `to`.
///
/// Ports are enough: both ends are on this machine, and one address has one connection per pair of ports. A JVM's
/// sockets stand in the table of version 6.
pub(super) fn owner(from: u16, to: u16, pids: &[u32]) -> Option<u32> {
    let inode = ["/proc/net/tcp", "/proc/net/tcp6"].iter().find_map(|table| {
        let text = std::fs::read_to_string(table).ok()?;
        text.lines().skip(1).find_map(|line| inode_of(line, from, to))
    })?;
    let link = format!("socket:[{inode}]");
    pids.iter().copied().find(|pid| holds(*pid, &link))
}

/// The inode of this line's socket when its ports are these.
fn inode_of(line: &str, from: u16, to: u16) -> Option<u64> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let port = |at: usize| u16::from_str_radix(fields.get(at)?.rsplit_once(':')?.1, 16).ok();
    (port(1)? == from && port(2)? == to).then(|| fields.get(9)?.parse().ok())?.filter(|inode| *inode != 0)
}

fn holds(pid: u32, link: &str) -> bool {
    let Ok(entries) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    entries.flatten().any(|entry| std::fs::read_link(entry.path()).is_ok_and(|target| target == Path::new(link)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_table_is_read_by_its_ports() {
        let line = "   0: 0100007F:9C40 0200007F:3A98 01 00000000:00000000 00:00000000 00000000  1000 0 778899 1 0";
        assert_eq!(inode_of(line, 40_000, 15_000), Some(778_899));
        assert_eq!(inode_of(line, 15_000, 40_000), None);
        assert_eq!(inode_of("", 1, 2), None);
    }

    #[test]
    fn this_process_owns_its_own_connection() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let to = listener.local_addr().unwrap().port();
        let client = std::net::TcpStream::connect(("127.0.0.1", to)).unwrap();
        let from = client.local_addr().unwrap().port();
        let own = std::process::id();
        assert_eq!(owner(from, to, &[1, own]), Some(own));
        assert_eq!(owner(from, to, &[u32::MAX]), None);
    }
}
