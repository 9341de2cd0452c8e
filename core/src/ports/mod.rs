//! The few operations that we ask of the outside world, as traits, with plain types.
//!
//! The EC2 port can read and authorize. It offers no way to revoke, modify or delete.

mod budget;
mod calls;
mod clouds;
mod ec2;
mod error;
mod queue;
mod table;
mod watch;

pub use budget::{Budget, retry_delay};
pub use calls::Calls;
pub use clouds::{Clouds, Pace, SESSION_NAME};
pub use ec2::{Authorized, GROUPS_PER_READ, SecurityGroups};
pub use error::{ApiError, Failure, Verdict, without_encoded_part};
pub use queue::{SweepQueue, SweepTask};
pub use table::{
    DesiredPage, GroupMarks, KnownScopes, Loaded, NewGeneration, ScopeTable, Table, WriteError,
};
pub use watch::{Lease, WatchTable};
