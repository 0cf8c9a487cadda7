//! The datagrams: what is pushed, and the acknowledgement that comes back (compat/spec/health-and-push.md §5.3).

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Deserialize;

/// From this size on the whole datagram is gzip.
const COMPRESS_FROM: usize = 1024;
/// The largest UDP payload over IPv4.
const DATAGRAM_MAX: usize = 65_507;

/// The datagram for a rendered list; `sequence` comes back in the acknowledgement. `None` when it cannot be sent.
pub(super) fn push(data: &[u8], sequence: u64) -> Option<Vec<u8>> {
    // `data` is a string that holds JSON.
    let data = serde_json::to_string(std::str::from_utf8(data).ok()?).ok()?;
    let text = format!(r#"{{"type":"dom","data":{data},"lastRefTime":{sequence}}}"#);
    let bytes = if text.len() < COMPRESS_FROM { text.into_bytes() } else { gzip(text.as_bytes())? };
    (bytes.len() <= DATAGRAM_MAX).then_some(bytes)
}

fn gzip(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 4), Compression::fast());
    encoder.write_all(bytes).ok()?;
    encoder.finish().ok()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Ack {
    last_ref_time: serde_json::Value,
}

/// The sequence number an acknowledgement names: a string from Java and Go, a number from Node.
pub(super) fn acknowledged(datagram: &[u8]) -> Option<u64> {
    let ack: Ack = serde_json::from_slice(datagram).ok()?;
    match ack.last_ref_time {
        serde_json::Value::Number(number) => number.as_u64(),
        serde_json::Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn from_1024_bytes_on_the_datagram_is_gzip() {
        let empty = push(b"", 1).unwrap().len();
        let plain = push("x".repeat(1023 - empty).as_bytes(), 1).unwrap();
        assert_eq!((plain.len(), plain[0]), (1023, b'{'));
        let packed = push("x".repeat(1024 - empty).as_bytes(), 1).unwrap();
        assert_eq!(packed[..2], [0x1f, 0x8b]);
        let mut text = String::new();
        flate2::read::GzDecoder::new(&packed[..]).read_to_string(&mut text).unwrap();
        assert_eq!(text.len(), 1024);
    }

    #[test]
    fn shape() {
        let bytes = push(br#"{"hosts":[]}"#, 2103804206713).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        assert_eq!(text, r#"{"type":"dom","data":"{\"hosts\":[]}","lastRefTime":2103804206713}"#);
    }

    #[test]
    fn acknowledgements_with_strings_and_numbers() {
        assert_eq!(
            acknowledged(br#"{"type":"push-ack","lastRefTime":"2103804206713","data":""}"#),
            Some(2103804206713)
        );
        assert_eq!(acknowledged(br#"{"type":"push-ack","lastRefTime":9007199254740991}"#), Some(9007199254740991));
        for other in [&b"{}"[..], b"", b"{\"lastRefTime\":[]}", b"\xff"] {
            assert_eq!(acknowledged(other), None);
        }
    }
}
