//! Values become [`Settings`], or one sentence that says what is wrong.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::flags::Flags;
use super::layers::{Found, Layers, Origin, SettingsError, is_same_key};
use super::{
    AddressServer, DistroSettings, LogSettings, LookupKind, MemberSettings, NamingSettings, Note, RaftSettings,
    Settings, environment, keys, properties, self_ip,
};

/// All settings, from the values of all sources.
pub(super) fn settings(home: PathBuf, layers: &Layers) -> Result<Settings, SettingsError> {
    refuse_what_is_not_offered(layers)?;
    let standalone = layers.switch("nacos.standalone", false)?;
    let context_path = context_path(layers)?;
    let ip = self_ip::choose(layers)?;
    let port = layers.parsed("server.port", 8848, "a port from 1 to 65535", port)?;
    let members = members(layers, &home, standalone, &context_path)?;
    Ok(Settings {
        ip,
        port,
        listen: layers.parsed("server.address", None, "an IP address", |text| text.parse().ok().map(Some))?,
        context_path,
        standalone,
        function_mode: function_mode(layers)?,
        members,
        naming: naming(layers)?,
        distro: distro(layers)?,
        raft: raft(layers)?,
        identity: identity(layers)?,
        prometheus: exposed(layers, "prometheus")?,
        log: log(layers)?,
        notes: notes(layers),
        home,
    })
}

/// The home directory decides which files are read, so it is looked up before them.
pub(super) fn home(flags: &Flags, environment: &BTreeMap<String, String>) -> Result<PathBuf, SettingsError> {
    let mut layers = Layers::new(environment.clone());
    environment::apply(&mut layers)?;
    flags.apply(&mut layers)?;
    if let Some(home) = layers.text("nacos.home")? {
        return Ok(PathBuf::from(home));
    }
    match layers.environment("HOME") {
        Some(user) => Ok(Path::new(user).join("nacos")),
        None => {
            Err(SettingsError("nacos.home is not set and there is no HOME to put it in; use --home DIR".to_owned()))
        }
    }
}

pub(super) fn file(layers: &mut Layers, path: &Path) -> Result<(), SettingsError> {
    let name: Arc<str> = path.display().to_string().into();
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(SettingsError(format!("{name} cannot be read: {error}"))),
    };
    let text = String::from_utf8_lossy(&bytes);
    let read = properties::parse(&text).map_err(|error| SettingsError(format!("{name} cannot be read: {error}")))?;
    for property in read {
        layers.set(&property.key, property.value, Origin::File(name.clone(), property.line));
    }
    Ok(())
}

/// Running without what was asked for would be worse than not running: an open node where a closed one was ordered.
fn refuse_what_is_not_offered(layers: &Layers) -> Result<(), SettingsError> {
    let refuse = |key: &str, found: Found, why: &str| {
        Err(SettingsError(format!("{key} is \"{}\" (from {}), but {why}", found.value, found.origin)))
    };
    if layers.switch("nacos.core.auth.enabled", false)?
        && let Some(found) = layers.get("nacos.core.auth.enabled")?
    {
        let why = "authentication is not offered yet and this node will not run open instead: remove the setting \
                   and guard the port, or wait";
        return refuse("nacos.core.auth.enabled", found, why);
    }
    match layers.get("nacos.functionMode")? {
        Some(found) if found.value.eq_ignore_ascii_case("config") => {
            let why = "the configuration service is not offered yet, so nothing would be left to serve: it must be \
                       all or naming";
            refuse("nacos.functionMode", found, why)
        }
        _ => Ok(()),
    }
}

fn function_mode(layers: &Layers) -> Result<Option<String>, SettingsError> {
    layers.parsed("nacos.functionMode", None, "all or naming", |text| match text.to_ascii_lowercase().as_str() {
        "all" => Some(None),
        "naming" => Some(Some("naming".to_owned())),
        _ => None,
    })
}

/// Spring drops one trailing slash and demands a leading one.
fn context_path(layers: &Layers) -> Result<String, SettingsError> {
    layers.parsed("server.servlet.context-path", "/nacos".to_owned(), "a path that begins with /", |text| {
        let path = text.strip_suffix('/').unwrap_or(text);
        let plain = path.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'?' | b'#'));
        (plain && !path.ends_with('/') && (path.is_empty() || path.starts_with('/'))).then(|| path.to_owned())
    })
}

fn members(
    layers: &Layers,
    home: &Path,
    standalone: bool,
    context_path: &str,
) -> Result<MemberSettings, SettingsError> {
    let list = layers.text("nacos.member.list")?;
    let servers = layers.text(environment::SERVERS)?.unwrap_or_default();
    let servers: Vec<_> = servers.split_whitespace().map(str::to_owned).collect();
    let domain = layers.text("address.server.domain")?;
    // Official nodes ignore any other word (compat/spec/membership.md §2).
    let asked = match layers.text("nacos.core.member.lookup.type")?.as_deref() {
        Some("file") => Some(LookupKind::File),
        Some("address-server") => Some(LookupKind::AddressServer),
        _ => None,
    };
    let has_list = list.is_some() || !servers.is_empty() || home.join("conf").join("cluster.conf").exists();
    let lookup = match asked {
        _ if standalone => LookupKind::Standalone,
        Some(kind) => kind,
        None if has_list => LookupKind::File,
        None if domain.is_some() => LookupKind::AddressServer,
        // Official nodes would ask jmenv.tbsite.net here, a name that only ever resolved inside one company.
        None => {
            return Err(SettingsError(format!(
                "this is a cluster node without members: write {}, set nacos.member.list or address.server.domain, or \
                 start with --mode standalone",
                home.join("conf").join("cluster.conf").display()
            )));
        }
    };
    let path = layers.text("address.server.url")?.unwrap_or_else(|| format!("{context_path}/serverlist"));
    let address_port = layers.parsed("address.server.port", 8080, "a port from 1 to 65535", port)?;
    Ok(MemberSettings {
        lookup,
        list,
        servers,
        fail_access_count: number(layers, "nacos.core.member.fail-access-cnt", 3, 0, 1_000_000)? as u32,
        timeout: millis(layers, "nacos.http.timeout", 5_000, 2)?,
        address_server: AddressServer {
            url: format!("http://{}:{address_port}{path}", domain.as_deref().unwrap_or("jmenv.tbsite.net")),
            attempts: number(layers, "nacos.core.address-server.retry", 5, 1, 1_000)? as u32,
            fail_count_max: number(layers, "maxHealthCheckFailCount", 12, 0, 1_000_000)? as u32,
        },
    })
}

fn naming(layers: &Layers) -> Result<NamingSettings, SettingsError> {
    let default = NamingSettings::default();
    Ok(NamingSettings {
        expire_instance: layers.switch("nacos.naming.expireInstance", default.expire_instance)?,
        empty_service_auto_clean: layers
            .switch("nacos.naming.empty-service.auto-clean", default.empty_service_auto_clean)?,
        empty_service_initial_delay: millis(layers, "nacos.naming.empty-service.clean.initial-delay-ms", 50_000, 0)?,
        empty_service_period: millis(layers, "nacos.naming.empty-service.clean.period-time-ms", 30_000, 1)?,
        data_warmup: layers.switch("nacos.naming.data.warmup", default.data_warmup)?,
    })
}

fn distro(layers: &Layers) -> Result<DistroSettings, SettingsError> {
    Ok(DistroSettings {
        batch_sync_key_count: number(layers, "nacos.naming.distro.batchSyncKeyCount", 1000, 1, 1_000_000)? as usize,
        sync_retry_delay: millis(layers, "nacos.naming.distro.syncRetryDelay", 5_000, 1)?,
        verify_interval: millis(layers, "nacos.core.protocol.distro.data.verify_interval_ms", 5_000, 1)?,
        load_data_retry_delay: millis(layers, "nacos.naming.distro.loadDataRetryDelayMillis", 30_000, 1)?,
        peer_stream: layers.switch("tandem.peer.stream", true)?,
    })
}

fn raft(layers: &Layers) -> Result<RaftSettings, SettingsError> {
    let key = |name: &str| format!("nacos.core.protocol.raft.data.{name}");
    let election = key("election_timeout_ms");
    Ok(RaftSettings {
        election_timeout: match layers.get(&election)? {
            Some(_) => Some(millis(layers, &election, 5_000, 100)?),
            None => None,
        },
        request_timeout: millis(layers, &key("rpc_request_timeout_ms"), 5_000, 100)?,
        snapshot_interval: Duration::from_secs(number(layers, &key("snapshot_interval_secs"), 1_800, 0, 31_536_000)?),
    })
}

fn identity(layers: &Layers) -> Result<Option<(String, String)>, SettingsError> {
    let key = "nacos.core.auth.server.identity.key";
    let header = |text: &str| http::HeaderName::try_from(text).ok().map(|_| Some(text.to_owned()));
    let name = layers.parsed(key, None, "the name of an HTTP header", header)?;
    let key = "nacos.core.auth.server.identity.value";
    let content = |text: &str| http::HeaderValue::try_from(text).ok().map(|_| Some(text.to_owned()));
    let value = layers.parsed(key, None, "the value of an HTTP header", content)?;
    Ok(name.zip(value))
}

/// Spring Boot exposes `health` and `info` unless told otherwise.
fn exposed(layers: &Layers, endpoint: &str) -> Result<bool, SettingsError> {
    let named = |list: Vec<String>| list.iter().any(|item| item == "*" || item == endpoint);
    Ok(named(layers.list("management.endpoints.web.exposure.include")?)
        && !named(layers.list("management.endpoints.web.exposure.exclude")?))
}

fn log(layers: &Layers) -> Result<LogSettings, SettingsError> {
    let json = layers.parsed("tandem.log.format", false, "text or json", |text| match text {
        "json" => Some(true),
        "text" => Some(false),
        _ => None,
    })?;
    let right = "error, warn, info, debug or trace, or a list such as info,tandem_server::distro=debug";
    let level = layers.parsed("tandem.log.level", "info".to_owned(), right, |text| {
        text.parse::<tracing_subscriber::filter::targets::Targets>().ok().map(|_| text.to_owned())
    })?;
    Ok(LogSettings { json, level })
}

fn notes(layers: &Layers) -> Vec<Note> {
    let of_keys = layers.keys().filter_map(|(key, origin)| match keys::usage(key) {
        Some(keys::Use::Honoured(_)) => None,
        // The packaged file sets many of these; only what somebody changed by hand would be worth a word.
        Some(keys::Use::Ignored(why)) => Some(Note::Ignored(key.to_owned(), why)),
        None if key.starts_with("nacos.") || key.starts_with("tandem.") => {
            Some(Note::Unknown(key.to_owned(), origin.clone()))
        }
        // Keys of Spring and of others are theirs, but for a slip in one of those that are honoured.
        None => keys::nearest_honoured(key)
            .filter(|right| !is_same_key(key, right))
            .map(|_| Note::Unknown(key.to_owned(), origin.clone())),
    });
    let ignored = environment::ignored(layers).into_iter().map(|(name, why)| Note::Ignored(name.to_owned(), why));
    let misspelt = environment::misspelt(layers).into_iter().map(|(name, right)| Note::Misspelt(name, right));
    of_keys.chain(ignored).chain(misspelt).collect()
}

fn port(text: &str) -> Option<u16> {
    text.parse().ok().filter(|port| *port != 0)
}

fn number(layers: &Layers, key: &str, default: u64, min: u64, max: u64) -> Result<u64, SettingsError> {
    let right = format!("a whole number from {min} to {max}");
    layers.parsed(key, default, &right, |text| text.parse().ok().filter(|n| (min..=max).contains(n)))
}

/// A time in ms; a day is enough for any of them.
fn millis(layers: &Layers, key: &str, default: u64, min: u64) -> Result<Duration, SettingsError> {
    let right = format!("a whole number of milliseconds from {min} to 86400000");
    let read = |text: &str| text.parse().ok().filter(|n| (min..=86_400_000).contains(n));
    layers.parsed(key, default, &right, read).map(Duration::from_millis)
}
