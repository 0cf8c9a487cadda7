//! Which member is responsible for a service: a hash over the sorted list of healthy members.
//!
//! Every member must compute this alike, down to Java's string hash and plain string order of addresses
//! (compat/spec/distro.md §4).

use crate::java::string_hash;

/// The healthy members (UP or SUSPICIOUS), sorted as strings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ring {
    addresses: Vec<String>,
}

impl Ring {
    /// The ring of these members.
    pub fn new(mut addresses: Vec<String>) -> Self {
        addresses.sort_unstable();
        addresses.dedup();
        Ring { addresses }
    }

    /// Address responsible for a grouped service name (the namespace does not enter); `None` when nobody is healthy.
    pub fn owner(&self, grouped_name: &str) -> Option<&str> {
        let slot = hash(grouped_name) as usize % self.addresses.len().max(1);
        self.addresses.get(slot).map(String::as_str)
    }

    /// As Tandem nodes tell each other: the members joined by commas.
    pub fn to_text(&self) -> String {
        self.addresses.join(",")
    }

    /// Address responsible for a grouped service name by another node's ring, as that one told it.
    pub fn owner_by_text<'a>(text: &'a str, grouped_name: &str) -> Option<&'a str> {
        let addresses = || text.split(',').filter(|address| !address.is_empty());
        addresses().nth(hash(grouped_name) as usize % addresses().count().max(1))
    }

    /// Whether the address is in the ring.
    pub fn contains(&self, address: &str) -> bool {
        self.addresses.binary_search_by(|known| known.as_str().cmp(address)).is_ok()
    }

    /// The members, sorted.
    pub fn addresses(&self) -> &[String] {
        &self.addresses
    }
}

/// `abs(hashCode % Integer.MAX_VALUE)`, so `Integer.MIN_VALUE` becomes 1 and ±`MAX_VALUE` become 0.
pub fn hash(grouped_name: &str) -> u32 {
    (string_hash(grouped_name) % i32::MAX).unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_vectors() {
        // compat/spec/distro.md §4: name, hash, mod 3, mod 2
        for (name, value, of3, of2) in [
            ("DEFAULT_GROUP@@h1-a", 1251926434, 1, 0),
            ("DEFAULT_GROUP@@h1-b", 1251926433, 0, 1),
            ("DEFAULT_GROUP@@h1-c", 1251926432, 2, 0),
            ("DEFAULT_GROUP@@order-service", 490904149, 1, 1),
            ("g@@x", 3132081, 0, 1),
            ("polygenelubricants", 1, 1, 1),
            ("", 0, 0, 0),
            ("DEFAULT_GROUP@@😀", 1864151972, 2, 0),
        ] {
            assert_eq!(hash(name), value, "{name}");
            assert_eq!((hash(name) % 3, hash(name) % 2), (of3, of2), "{name}");
        }
    }

    #[test]
    fn ring_vectors() {
        // compat/spec/membership.md §3.3
        let ring = Ring::new(["127.0.0.1:9203", "127.0.0.1:9201", "127.0.0.1:9202"].map(String::from).to_vec());
        for (name, owner) in [("h2d1", 9203), ("h2d2", 9202), ("h2d3", 9201), ("h2d4", 9203), ("h2d5", 9202)] {
            let (name, owner) = (format!("DEFAULT_GROUP@@{name}"), format!("127.0.0.1:{owner}"));
            assert_eq!(ring.owner(&name), Some(owner.as_str()));
            assert_eq!(Ring::owner_by_text(&ring.to_text(), &name), Some(owner.as_str()));
        }
        assert_eq!(Ring::default().owner("x"), None);
        assert_eq!(Ring::owner_by_text(&Ring::default().to_text(), "x"), None);
    }
}
