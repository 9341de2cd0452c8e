//! Who watches: one run at a time, and the next one takes over from it.
//!
//! A schedule starts a run each minute, give or take a minute. A new run names itself as heir. The holder writes the lease
//! before each look; it then sees the heir, ends its work and hands over. A holder that was killed writes no more, and its
//! lease ends by itself.

use jiff::{SignedDuration, Timestamp};

use crate::ports::Lease;

/// How long a lease lasts without another write.
pub(super) const LIFE: SignedDuration = SignedDuration::from_secs(30);

/// How much the clocks of two instances may differ.
const SKEW: SignedDuration = SignedDuration::from_secs(1);

/// What a run that does not hold the lease has to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// It holds the lease now.
    Held,
    /// Write this, and look again.
    Write(Lease),
    /// Wait: another run watches and will hand over.
    Wait,
    /// Leave: another run is heir in its place.
    Leave(String),
}

impl Lease {
    /// What a run does that wants to watch. `asked` says that it has named itself as heir before.
    pub(super) fn claim(&self, run: &str, asked: bool, now: Timestamp) -> Claim {
        let is_free = match (&self.holder, self.until) {
            (Some(_), Some(until)) => now > until + SKEW,
            _ => true,
        };
        match (&self.holder, &self.heir) {
            (Some(holder), _) if holder == run && !is_free => Claim::Held,
            _ if is_free => Claim::Write(self.held_by(run, now)),
            (_, Some(heir)) if heir == run => Claim::Wait,
            (holder, heir) if asked => Claim::Leave(
                heir.as_ref()
                    .or(holder.as_ref())
                    .cloned()
                    .unwrap_or_default(),
            ),
            _ => Claim::Write(Self {
                heir: Some(run.to_owned()),
                ..self.clone()
            }),
        }
    }

    /// The lease for this run from now on, without an heir.
    pub(super) fn held_by(&self, run: &str, now: Timestamp) -> Self {
        Self {
            holder: Some(run.to_owned()),
            until: Some(now + LIFE),
            heir: None,
            ..self.clone()
        }
    }

    /// The same lease for longer.
    pub(super) fn renewed(&self, now: Timestamp) -> Self {
        Self {
            until: Some(now + LIFE),
            ..self.clone()
        }
    }

    /// The lease as its holder leaves it: for the heir, or for anybody.
    pub(super) fn handed_over(&self, now: Timestamp) -> Self {
        match &self.heir {
            Some(heir) => self.held_by(heir, now),
            None => Self {
                holder: None,
                until: None,
                ..self.clone()
            },
        }
    }

    /// Whether work that takes this long ends before the lease does.
    pub(super) fn covers(&self, work: SignedDuration, now: Timestamp) -> bool {
        self.until.is_some_and(|until| now + work + SKEW <= until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fakes::now;

    fn lease(holder: Option<&str>, seconds: i64, heir: Option<&str>) -> Lease {
        Lease {
            revision: 7,
            holder: holder.map(str::to_owned),
            until: holder.map(|_| now() + SignedDuration::from_secs(seconds)),
            heir: heir.map(str::to_owned),
        }
    }

    #[test]
    fn a_free_lease_is_taken_and_one_that_ended_a_moment_ago_is_not() {
        let claim = |lease: Lease| lease.claim("new", false, now());
        let taken = lease(Some("new"), 30, None);
        assert_eq!(
            claim(Lease {
                revision: 7,
                ..Lease::default()
            }),
            Claim::Write(taken.clone())
        );
        assert_eq!(
            claim(lease(Some("old"), -2, Some("lost"))),
            Claim::Write(taken)
        );
        let as_heir = Claim::Write(lease(Some("old"), -1, Some("new")));
        assert_eq!(claim(lease(Some("old"), -1, None)), as_heir);
    }

    #[test]
    fn a_new_run_waits_as_heir_and_leaves_if_another_one_does() {
        let held = lease(Some("old"), 20, None);
        let asked = Claim::Write(lease(Some("old"), 20, Some("new")));
        assert_eq!(held.claim("new", false, now()), asked);
        let waiting = lease(Some("old"), 20, Some("new"));
        assert_eq!(waiting.claim("new", true, now()), Claim::Wait);
        let other = lease(Some("old"), 20, Some("newer"));
        assert_eq!(
            other.claim("new", true, now()),
            Claim::Leave("newer".to_owned())
        );
        // The newest run is heir, whoever was before.
        let replaced = Claim::Write(lease(Some("old"), 20, Some("newest")));
        assert_eq!(other.claim("newest", false, now()), replaced);
        // An heir without an answer takes a lease that has ended.
        let ended = lease(Some("old"), -2, Some("new"));
        assert_eq!(
            ended.claim("new", true, now()),
            Claim::Write(lease(Some("new"), 30, None))
        );
    }

    #[test]
    fn the_holder_hands_over_to_the_heir_or_to_anybody() {
        let handed = lease(Some("old"), 3, Some("new")).handed_over(now());
        assert_eq!(handed, lease(Some("new"), 30, None));
        assert_eq!(handed.claim("new", true, now()), Claim::Held);
        let free = lease(Some("old"), 3, None).handed_over(now());
        assert_eq!(free, lease(None, 0, None));
    }

    #[test]
    fn work_begins_only_if_it_ends_within_the_lease() {
        let ten = SignedDuration::from_secs(10);
        assert!(lease(Some("a"), 11, None).covers(ten, now()));
        assert!(!lease(Some("a"), 10, None).covers(ten, now()));
        assert!(!lease(None, 0, None).covers(ten, now()));
        let renewed = lease(Some("a"), 1, Some("b")).renewed(now());
        assert_eq!(renewed, lease(Some("a"), 30, Some("b")));
    }
}
