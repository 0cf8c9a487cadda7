//! The headers of each call between members, as official nodes send them: every kind of call has its own set
//! (compat/spec/distro.md §6, compat/spec/membership.md §6, §9).
//!
//! `Host` and `Content-Length` come from the connection.

use http::header::{HeaderMap, HeaderName, HeaderValue};

/// What official nodes call themselves; a node that is not UP lets only these in.
pub const USER_AGENT: &str = "Nacos-Server:1.4.1";
/// Pulls of lists name the library instead (compat/spec/distro.md §5.4).
const PULL_AGENT: &str = "Apache-HttpClient/4.5 (Java/1.8.0_282)";
const CLIENT_VERSION: &str = "1.4.1";
const JSON: &str = "application/json;charset=UTF-8";
const FORM: &str = "application/x-www-form-urlencoded;charset=UTF-8";
const SOME_ENCODINGS: &str = "gzip,deflate,sdch";

/// The headers by kind of call, made once.
#[derive(Debug)]
pub(super) struct PeerHeaders {
    /// `PUT /distro/datum`
    pub(super) push: HeaderMap,
    /// `PUT /distro/checksum`
    pub(super) verify: HeaderMap,
    /// `GET /distro/datum`
    pub(super) pull: HeaderMap,
    /// `GET /distro/datums` and other plain calls
    pub(super) get: HeaderMap,
    /// `POST /service/status`
    pub(super) status: HeaderMap,
    /// `GET /instance/statuses`
    pub(super) statuses: HeaderMap,
    /// Over those of a client's request that is handed on
    pub(super) forward: HeaderMap,
}

impl PeerHeaders {
    /// For a node with this address; the identity, if any, goes with every call.
    pub(super) fn new(self_address: &str, identity: Option<(HeaderName, HeaderValue)>) -> Self {
        let source = HeaderValue::try_from(self_address).ok();
        let build = |named: &[(&'static str, &'static str)], from_us: bool| {
            let mut headers = HeaderMap::new();
            for (name, value) in named {
                headers.insert(*name, HeaderValue::from_static(value));
            }
            if let Some(source) = source.clone().filter(|_| from_us) {
                headers.insert("request-source", source);
            }
            if let Some((name, value)) = &identity {
                headers.insert(name.clone(), value.clone());
            }
            headers
        };
        let (json, form, charset) = (("content-type", JSON), ("content-type", FORM), ("accept-charset", "UTF-8"));
        let (gzip, some) = (("accept-encoding", "gzip"), ("accept-encoding", SOME_ENCODINGS));
        let (agent, version) = (("user-agent", USER_AGENT), ("client-version", CLIENT_VERSION));
        let alive = ("connection", "Keep-Alive");
        // On plain JSON and on nothing at all; receivers know (compat/spec/distro.md §12, trap 1).
        let lie = ("content-encoding", "gzip");
        PeerHeaders {
            push: build(&[json, charset, some, agent, lie, alive, version], false),
            verify: build(&[json, charset, gzip, agent, alive, version], false),
            pull: build(&[json, charset, gzip, alive, ("user-agent", PULL_AGENT)], false),
            get: build(&[form, charset, gzip, version, agent, alive], true),
            status: build(&[json, charset, gzip, alive, agent], false),
            statuses: build(&[form, charset, some, version, agent, alive, lie], true),
            forward: build(&[charset, agent, version], true),
        }
    }
}
