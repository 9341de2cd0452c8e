//! What is deployed besides `rulekeeper-core`: the adapters to AWS, which the operator's command line uses too, and the
//! function's configuration.

pub mod aws;
pub mod config;
