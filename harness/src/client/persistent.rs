//! The requests about persistent data: instances that the servers agree on before they acknowledge, and services as
//! such (`compat/spec/naming-api.md` §2, §4).

use http::Method;

use super::call::{Call, Expect, Instance};
use super::error::ClientError;

impl Call {
    /// `POST /v1/ns/instance` of a persistent instance: registers it, or replaces the whole record.
    ///
    /// # Errors
    /// When it cannot be written as a request.
    pub fn persist(context: &str, instance: &Instance, weight: u32) -> Result<Self, ClientError> {
        Self::register_as(context, instance, weight, "false")
    }

    /// `PUT /v1/ns/instance`: changes the record of a persistent instance.
    ///
    /// # Errors
    /// When it cannot be written as a request.
    pub fn change_persistent(context: &str, instance: &Instance, weight: u32) -> Result<Self, ClientError> {
        Ok(Self { method: Method::PUT, ..Self::persist(context, instance, weight)? })
    }

    /// `DELETE /v1/ns/instance` of a persistent instance; `ok` also when there is no such instance.
    ///
    /// # Errors
    /// When it cannot be written as a request.
    pub fn forget_persistent(context: &str, instance: &Instance) -> Result<Self, ClientError> {
        let port = instance.port.to_string();
        let query =
            [("serviceName", instance.service.as_str()), ("ip", &instance.ip), ("port", &port), ("ephemeral", "false")];
        Self::new(Method::DELETE, context, "/v1/ns/instance", &query, Expect::Ok)
    }

    /// `POST /v1/ns/service`; refused when there is one.
    ///
    /// # Errors
    /// When it cannot be written as a request.
    pub fn create_service(context: &str, name: &str, metadata: &str) -> Result<Self, ClientError> {
        Self::new(Method::POST, context, "/v1/ns/service", &Self::described(name, metadata), Expect::Ok)
    }

    /// `PUT /v1/ns/service`: replaces metadata and protect threshold.
    ///
    /// # Errors
    /// When it cannot be written as a request.
    pub fn change_service(context: &str, name: &str, metadata: &str) -> Result<Self, ClientError> {
        Self::new(Method::PUT, context, "/v1/ns/service", &Self::described(name, metadata), Expect::Ok)
    }

    fn described<'a>(name: &'a str, metadata: &'a str) -> [(&'static str, &'a str); 3] {
        [("serviceName", name), ("metadata", metadata), ("protectThreshold", "0")]
    }

    /// `DELETE /v1/ns/service`; refused while it has instances.
    ///
    /// # Errors
    /// When it cannot be written as a request.
    pub fn delete_service(context: &str, name: &str) -> Result<Self, ClientError> {
        Self::new(Method::DELETE, context, "/v1/ns/service", &[("serviceName", name)], Expect::Ok)
    }

    /// `GET /v1/ns/service`: the service as the asked node holds it.
    ///
    /// # Errors
    /// When it cannot be written as a request.
    pub fn service(context: &str, name: &str) -> Result<Self, ClientError> {
        Self::new(Method::GET, context, "/v1/ns/service", &[("serviceName", name)], Expect::Any)
    }
}
