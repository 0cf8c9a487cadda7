//! What operators change at run time (compat/spec/naming-api.md §14).

use std::sync::Arc;

use indexmap::IndexMap;
use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};

/// Bounds of the adaptive check interval.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HealthParams {
    /// Longest interval, ms.
    pub max: i32,
    /// Shortest interval, ms.
    pub min: i32,
    /// Weight of the previous interval, 0 to 1.
    pub factor: f32,
}

/// All switches; fields in the order they are served in, with Nacos' defaults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the names are the official ones and compat/spec/naming-api.md §14 explains them")]
pub struct SwitchDomain {
    pub masters: Option<Vec<String>>,
    pub ad_weight_map: IndexMap<String, i32>,
    pub default_push_cache_millis: i64,
    pub client_beat_interval: i64,
    pub default_cache_millis: i64,
    pub distro_threshold: f32,
    pub health_check_enabled: bool,
    pub auto_change_health_check_enabled: bool,
    pub distro_enabled: bool,
    pub enable_standalone: bool,
    pub push_enabled: bool,
    pub check_times: i32,
    pub http_health_params: HealthParams,
    pub tcp_health_params: HealthParams,
    pub mysql_health_params: HealthParams,
    pub incremental_list: Vec<String>,
    pub server_status_synchronization_period_millis: i64,
    pub service_status_synchronization_period_millis: i64,
    #[serde(rename = "disableAddIP")]
    pub disable_add_ip: bool,
    pub send_beat_only: bool,
    pub light_beat_enabled: bool,
    pub limited_url_map: IndexMap<String, i32>,
    pub distro_server_expired_millis: i64,
    pub push_go_version: String,
    pub push_java_version: String,
    pub push_python_version: String,
    #[serde(rename = "pushCVersion")]
    pub push_c_version: String,
    #[serde(rename = "pushCSharpVersion")]
    pub push_csharp_version: String,
    pub enable_authentication: bool,
    pub overridden_server_status: Option<String>,
    pub default_instance_ephemeral: bool,
    pub health_check_white_list: Vec<String>,
    pub name: String,
    pub checksum: Option<String>,
}

impl Default for SwitchDomain {
    fn default() -> Self {
        SwitchDomain {
            masters: None,
            ad_weight_map: IndexMap::new(),
            default_push_cache_millis: 10_000,
            client_beat_interval: 5_000,
            default_cache_millis: 3_000,
            distro_threshold: 0.7,
            health_check_enabled: true,
            auto_change_health_check_enabled: true,
            distro_enabled: true,
            enable_standalone: true,
            push_enabled: true,
            check_times: 3,
            http_health_params: HealthParams { max: 5_000, min: 500, factor: 0.85 },
            tcp_health_params: HealthParams { max: 5_000, min: 1_000, factor: 0.75 },
            mysql_health_params: HealthParams { max: 3_000, min: 2_000, factor: 0.65 },
            incremental_list: Vec::new(),
            server_status_synchronization_period_millis: 2_000,
            service_status_synchronization_period_millis: 5_000,
            disable_add_ip: false,
            send_beat_only: false,
            light_beat_enabled: true,
            limited_url_map: IndexMap::new(),
            distro_server_expired_millis: 10_000,
            push_go_version: "0.1.0".to_owned(),
            push_java_version: "0.1.0".to_owned(),
            push_python_version: "0.4.3".to_owned(),
            push_c_version: "1.0.12".to_owned(),
            push_csharp_version: "0.9.0".to_owned(),
            enable_authentication: false,
            overridden_server_status: None,
            default_instance_ephemeral: true,
            health_check_white_list: Vec::new(),
            name: "00-00---000-NACOS_SWITCH_DOMAIN-000---00-00".to_owned(),
            checksum: None,
        }
    }
}

/// The switches in force: read on every request, changed rarely.
#[derive(Debug, Default)]
pub struct Switches {
    current: RwLock<Arc<SwitchDomain>>,
    /// The record kept for all members: every later change starts from it, so that one that was made with `debug` is
    /// lost with the next change of anything.
    record: Mutex<Option<SwitchDomain>>,
}

impl Switches {
    /// The switches as they are now.
    pub fn get(&self) -> Arc<SwitchDomain> {
        Arc::clone(&self.current.read())
    }

    /// Takes the record that all members keep, from now on in force here.
    pub fn adopt(&self, record: SwitchDomain) {
        *self.record.lock() = Some(record.clone());
        *self.current.write() = Arc::new(record);
    }

    /// Changes them here alone (`debug`), starting from the record; a refused change changes nothing.
    ///
    /// # Errors
    /// What `change` says.
    pub fn change_here<E>(&self, change: impl FnOnce(&mut SwitchDomain) -> Result<(), E>) -> Result<(), E> {
        let record = self.record.lock();
        let mut changed = record.clone().unwrap_or_else(|| (*self.get()).clone());
        change(&mut changed)?;
        *self.current.write() = Arc::new(changed);
        Ok(())
    }

    /// Changes the switches.
    pub fn change<R>(&self, change: impl FnOnce(&mut SwitchDomain) -> R) -> R {
        change(Arc::make_mut(&mut self.current.write()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_made_with_debug_is_lost_with_the_next() {
        let switches = Switches::default();
        let here = |change: fn(&mut SwitchDomain)| {
            switches
                .change_here(|domain| {
                    change(domain);
                    Ok::<(), ()>(())
                })
                .unwrap();
        };
        here(|domain| domain.push_enabled = false);
        assert!(!switches.get().push_enabled);
        let record = SwitchDomain { send_beat_only: true, ..(*switches.get()).clone() };
        switches.adopt(record);
        assert!(!switches.get().push_enabled, "the first record is what holds at that time");
        here(|domain| domain.light_beat_enabled = false);
        here(|domain| domain.disable_add_ip = true);
        assert!(switches.get().light_beat_enabled, "changes start from the record");
        assert!(switches.get().disable_add_ip);
    }
}
