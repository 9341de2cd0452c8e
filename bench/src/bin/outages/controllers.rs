//! The scripted sides: they do what the public ones are documented or reported to do, and nothing more clever.

pub(crate) mod ack;
pub(crate) mod lbc;
