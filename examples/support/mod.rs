//! What the demo and the incident replays have in common.

pub(crate) mod binaries;
pub(crate) mod client;
pub(crate) mod cloud;
pub(crate) mod journal;
pub(crate) mod probe;
pub(crate) mod screen;
pub(crate) mod times;

/// Why an example stops: one text for whoever watches.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;
