//! The built function, driven through the Lambda Runtime API against the local stack and moto's DynamoDB: real
//! processes, real SDK clients, real HTTP.

#[path = "../support/mod.rs"]
mod support;

mod accounted;
mod cause;
mod doctor;
mod events;
mod fleet;
mod meant;
mod members;
mod outlook;
mod privileges;
mod process;
mod refusals;
mod soak;
mod story;
mod trouble;
mod watch;
mod wire;
