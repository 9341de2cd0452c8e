//! `doctor`, by the real binary and the real function on the local stack: all is well, and then each thing broken in
//! turn.

#[path = "../common/mod.rs"]
mod common;

mod drill;
mod events;
mod function;
mod permissions;
mod scene;
mod table;
mod well;
