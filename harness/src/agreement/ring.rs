//! Which node is responsible for a service (`compat/spec/distro.md` §4).

/// Java's `String.hashCode` over UTF-16 units.
fn java_hash(text: &str) -> i32 {
    text.encode_utf16().fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

/// The responsible address for a service `GROUP@@NAME` among the addresses of members that are UP or SUSPICIOUS, in
/// any order.
pub fn responsible<'a>(grouped_name: &str, members: &[&'a str]) -> Option<&'a str> {
    let mut sorted = members.to_vec();
    sorted.sort_unstable();
    let hash = (java_hash(grouped_name) % i32::MAX).unsigned_abs() as usize;
    sorted.get(hash.checked_rem(sorted.len())?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vectors_of_the_specification_hold() {
        for (name, of_three, of_two) in [
            ("DEFAULT_GROUP@@h1-a", "b", "a"),
            ("DEFAULT_GROUP@@h1-b", "a", "b"),
            ("DEFAULT_GROUP@@h1-c", "c", "a"),
            ("DEFAULT_GROUP@@order-service", "b", "b"),
            ("polygenelubricants", "b", "b"),
            ("", "a", "a"),
            ("DEFAULT_GROUP@@😀", "c", "a"),
        ] {
            assert_eq!(responsible(name, &["c", "a", "b"]), Some(of_three), "{name}");
            assert_eq!(responsible(name, &["b", "a"]), Some(of_two), "{name}");
        }
        assert_eq!(responsible("x", &[]), None);
    }
}
