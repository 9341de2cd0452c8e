//! The function: from a payload to an answer. It uses no AWS SDK; `src/bin/function.rs` of the root package connects it
//! with the adapters.

mod answer;
mod authorization;
mod checked;
mod handler;
mod home;
pub mod metrics;
pub mod permissions;
mod throttled;
mod watch;

pub use answer::{Answer, Payload, QueueAnswer};
pub use handler::Handler;
pub use home::Home;
