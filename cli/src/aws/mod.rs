//! What only operators ask of AWS: deletion, history and incidents of the table, and groups by name, VPC and tag.

mod archive;
mod inventory;
