//! The few verbs asked of the outside world, as traits, and the plain types that they speak.
//!
//! The port to EC2 can read and it can authorize. There is no way to revoke, modify or delete: nothing behind this
//! module could ask for it.

mod budget;
mod calls;
mod clouds;
mod ec2;
mod error;
mod queue;
mod table;

pub use budget::{Budget, retry_delay};
pub use calls::Calls;
pub use clouds::{Clouds, Pace, SESSION_NAME};
pub use ec2::{Authorized, GROUPS_PER_READ, SecurityGroups};
pub use error::{ApiError, Failure, Verdict, without_encoded_part};
pub use queue::{SweepQueue, SweepTask};
pub use table::{
    DesiredPage, GroupMarks, KnownScopes, Loaded, NewGeneration, ScopeTable, Table, WriteError,
};
