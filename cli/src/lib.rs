//! What only the operator's command line does, apart from arguments, questions and tables.
//!
//! Each room imports only rooms below it:
//!
//! - [`import`]: records from Terraform's JSON and CloudFormation templates
//! - [`records`]: record files
//! - [`strict`]: YAML and JSON in which no name is given twice
//! - [`failure`]: exit codes and error messages
//! - [`say`]: errors, warnings and hints on standard error
//! - [`steering`]: characters that steer a terminal
//! - [`paint`]: colour for people
//! - [`aws`]: what only operators ask of AWS. The function's package holds none of it.
//! - [`operator`]: one function for each verb that reads or writes the table.
//! - [`schema`]: the JSON Schema of record files
//! - [`positions`]: where in a file an attribute stands

pub mod aws;
pub mod failure;
pub mod import;
pub mod operator;
pub mod paint;
pub mod positions;
pub mod records;
pub mod say;
pub mod schema;
pub mod steering;
pub mod strict;
