//! `ApiController`: the legacy paths of its own; it inherits those of [`super::instance`]
//! (compat/spec/naming-api.md §15).

use super::routes::Route;
use super::{instance_beat, instance_list, service_list};

/// The endpoints.
pub fn routes() -> Vec<Route> {
    vec![
        Route::local("GET", "/v1/ns/api/srvIPXT", instance_list::srv_ipxt),
        Route::forwarded("GET", "/v1/ns/api/clientBeat", instance_beat::client_beat),
        Route::local("GET", "/v1/ns/api/allDomNames", service_list::all_dom_names),
    ]
}
