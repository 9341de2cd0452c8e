//! Scripted controllers. Each does what its public source or the reports say, and no more.

pub(crate) mod ack;
pub(crate) mod lbc;
pub(crate) mod terraform;
