//! What the demo, the replays of outages and the measurements at scale have in common.

pub mod binaries;
pub mod client;
pub mod cloud;
pub mod journal;
pub mod probe;
pub mod screen;
pub mod times;

/// Why an example stops: one text for whoever watches.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;
