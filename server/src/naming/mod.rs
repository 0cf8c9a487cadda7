//! Services and their instances: the state that is served, replicated and pushed. Knows no peer and no HTTP.
//!
//! # Layout
//! - [`instance`]: one instance and its identity
//! - [`service`]: one service, its clusters and both instance lists
//! - [`registry`]: all services; every change goes through it
//! - [`changes`]: who wants to know, told at once, without a queue that can grow
//! - [`push`]: consumers told by UDP
//! - [`expiry`]: instances whose beats stop; [`heard`]: from when silence counts
//! - [`removals`]: which instances were taken away a short time ago
//! - [`instances`], [`beat`], [`metadata_batch`]: writes to instances
//! - [`services`], [`clusters`]: writes to services and clusters
//! - [`view`], [`listing`], [`checksum`], [`catalog`]: what readers are shown
//! - [`validate`], [`metadata`], [`selector`], [`health_checker`], [`agent`], [`json`]: texts, read and written
//! - [`switches`], [`switch_entries`]: what operators change at run time
//! - [`subscribers`]: who is to be pushed
//! - [`consistency`]: whether a persistent write may be taken
//! - [`service_status`]: health reports of members
//! - [`cleaner`]: removes services that stay empty
//! - [`checksum_upkeep`]: checksums that lists show come up to date

pub mod agent;
pub mod beat;
pub mod catalog;
pub mod changes;
pub mod checksum;
pub mod checksum_upkeep;
pub mod cleaner;
pub mod clusters;
pub mod consistency;
pub mod error;
pub mod expiry;
pub mod health_checker;
pub mod heard;
pub mod instance;
pub mod instance_id;
pub mod instances;
pub mod json;
pub mod listing;
pub mod metadata;
pub mod metadata_batch;
pub mod push;
pub mod registry;
pub mod removals;
pub mod selector;
pub mod service;
pub mod service_status;
pub mod services;
pub mod subscribers;
pub mod switch_entries;
pub mod switches;
pub mod validate;
pub mod view;
