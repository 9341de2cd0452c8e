//! The function around it all: from a payload to an answer. No AWS SDK here either; `src/bin/function.rs` of the root
//! package composes this with the adapters.

mod answer;
mod burst;
mod handler;
mod home;
pub mod metrics;
pub mod permissions;

pub use answer::{Answer, QueueAnswer};
pub use handler::Handler;
pub use home::Home;
