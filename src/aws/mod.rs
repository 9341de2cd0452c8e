//! The only module that uses the AWS SDK. Adapters translate and do nothing else.

pub mod attributes;
mod call;
mod clients;
mod dynamodb;
mod ec2;
pub mod keys;
mod pace;
mod permissions;
mod results;
mod scopes;
mod state_update;
mod sweep_queue;
pub mod transaction;
pub mod unchanged;
mod watch;
#[cfg(test)]
mod wire;

pub use call::{api_error, unusable, whole};
pub use clients::{Clients, https, load_sdk_config, load_sdk_config_over};
pub use dynamodb::DynamoTable;
pub use ec2::{Ec2, FoundGroup, filter};
pub use sweep_queue::SqsSweepQueue;
