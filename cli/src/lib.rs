//! What only the operator's command line does with records, settings and incidents.
//!
//! - [`aws`]: what only operators ask of AWS. The function's package holds none of it.
//! - [`operator`]: one function for each verb that reads or writes the table.
//!
//! `aws` imports `operator`, and never the other way round.

pub mod aws;
pub mod operator;
