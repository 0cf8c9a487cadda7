//! Instance ids (compat/spec/naming-api.md §2.2).

use std::collections::HashSet;

use super::instance::{INSTANCE_ID_GENERATOR, Instance};
use super::service::Instances;

/// The id of a new instance: text made of its identity, or with the `snowflake` generator the smallest number that no
/// instance of the list has.
pub fn generate(instance: &Instance, list: &Instances) -> String {
    let generator = instance.meta(INSTANCE_ID_GENERATOR).unwrap_or_default();
    if !generator.eq_ignore_ascii_case("snowflake") {
        let Instance { ip, port, cluster_name, service_name, .. } = instance;
        return format!("{ip}#{port}#{cluster_name}#{service_name}");
    }
    let taken: HashSet<&str> = list.values().filter_map(|known| known.instance_id.as_deref()).collect();
    let mut number = 0u64;
    while taken.contains(number.to_string().as_str()) {
        number += 1;
    }
    number.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::naming::instance::Metadata;

    #[test]
    fn snowflake_takes_the_smallest_free_number() {
        let mut list = Instances::new();
        for (ip, id) in [("a", "0"), ("b", "2")] {
            let instance = Instance { ip: ip.into(), instance_id: Some(id.into()), ..Instance::default() };
            list.insert(instance.key(), instance);
        }
        let metadata = Metadata::from([(INSTANCE_ID_GENERATOR.to_owned(), "SnowFlake".to_owned())]);
        let new = Instance { ip: "c".into(), metadata: Some(metadata), ..Instance::default() };
        assert_eq!(generate(&new, &list), "1");
        let simple = Instance { ip: "c".into(), port: 8, service_name: "g@@s".into(), ..Instance::default() };
        assert_eq!(generate(&simple, &list), "c#8#DEFAULT#g@@s");
    }
}
