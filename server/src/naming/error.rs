//! Why a naming operation was refused.

/// A refusal, in the terms official Nacos throws (compat/spec/naming-api.md §1.3).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NamingError {
    /// `IllegalArgumentException`: the request is wrong in itself.
    #[error("{0}")]
    Illegal(String),
    /// `NacosException`, with the code it carries.
    #[error("{1}")]
    Nacos(u16, String),
    /// A write that all members must agree on, before this node has joined their group; what it is to.
    #[error("{0} needs consensus among the members, which this node has not joined yet")]
    NeedsConsensus(&'static str),
    /// Any other exception: the messages of its chain, outermost first.
    #[error("{}", .0.join("; "))]
    Internal(Vec<String>),
}

impl NamingError {
    /// An `IllegalArgumentException`.
    pub fn illegal(message: impl Into<String>) -> Self {
        NamingError::Illegal(message.into())
    }

    /// A `NacosException` 404.
    pub fn not_found(message: impl Into<String>) -> Self {
        NamingError::Nacos(404, message.into())
    }

    /// A `NacosException` 400.
    pub fn invalid(message: impl Into<String>) -> Self {
        NamingError::Nacos(400, message.into())
    }

    /// Any other exception with one message.
    pub fn internal(message: impl Into<String>) -> Self {
        NamingError::Internal(vec![message.into()])
    }
}
