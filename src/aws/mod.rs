//! The only room that speaks to the AWS SDK. Adapters translate and nothing else.

mod archive;
mod attributes;
mod call;
mod clients;
mod dynamodb;
mod ec2;
mod errands;
mod fleet;
mod inventory;
mod pace;
mod permissions;
mod results;
mod state_update;
mod transaction;
mod unchanged;

pub use call::api_error;
pub use clients::{Clients, load_sdk_config};
pub use dynamodb::DynamoTable;
pub use ec2::Ec2;
pub use errands::SqsErrands;
