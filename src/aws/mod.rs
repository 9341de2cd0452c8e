//! The only room that speaks to the AWS SDK. Adapters translate and nothing else.

mod archive;
mod attributes;
mod call;
mod clients;
mod dynamodb;
mod ec2;
mod permissions;
mod state_update;
mod unchanged;

pub use call::api_error;
pub use clients::{Clients, load_sdk_config};
pub use dynamodb::DynamoTable;
pub use ec2::Ec2;
