//! The two stories, each without rulekeeper and with it, and what they have in common.

use std::time::Duration;

use crate::observer::Observer;
use crate::stage::Stage;
use rulekeeper_bench::Failure;
use rulekeeper_bench::client::ApiError;
use rulekeeper_bench::screen::Screen;

mod everything;
mod replacement;

pub(crate) use everything::everything_is_revoked;
pub(crate) use replacement::replacement_is_refused;

/// How much longer than its event a rule may be away before the demo calls it lost. The function needs a tenth of a
/// second; its first start, in a debug build on a busy machine, some more.
const PATIENCE: Duration = Duration::from_secs(10);

/// How the controller marks its rules.
const DESCRIPTION: &str = "elbv2.k8s.aws/targetGroupBinding=shared";

/// A row of the summary: the story, without rulekeeper, with it.
pub(crate) type Row = [String; 3];

/// What a story is told with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Show<'a> {
    pub(crate) screen: &'a Screen,
    pub(crate) stage: &'a Stage,
    /// The event's way, as dialled.
    pub(crate) delay: Duration,
}

impl<'a> Show<'a> {
    /// Who is who.
    fn cast(&self, groups: &[(&str, &str)]) -> Result<(), Failure> {
        self.screen.gap()?;
        for (group, what) in groups {
            self.screen.line(&format!("    {group}  {what}"))?;
        }
        Ok(())
    }

    fn observe(&self, group: &str) -> Result<Observer<'a>, Failure> {
        self.screen.gap()?;
        Ok(Observer::start(self.screen, &self.stage.stack, group))
    }

    /// Waits until so many rules went and are back but for those that cannot be, and until all events are handled: the
    /// function's own authorize is one too, and asks for nothing.
    async fn see_restored(
        &self,
        observer: &mut Observer<'_>,
        dropped: usize,
        lost: &[&str],
    ) -> Result<(), Failure> {
        let within = self.delay + PATIENCE;
        let restored = |seen: &Observer<'_>| {
            seen.dropped() == dropped && seen.missing().iter().eq(lost.iter())
        };
        if !observer.watch(within, restored).await? {
            let missing: Vec<String> = observer.missing().into_iter().collect();
            return Err(format!(
                "{} s after the revoke {} of {dropped} rules are missing: {}",
                within.as_secs(),
                missing.len(),
                missing.join(", ")
            )
            .into());
        }
        if !observer.watch(within, Observer::is_quiet).await? {
            return Err("events keep coming although the rules are back".into());
        }
        Ok(())
    }
}

/// The refusal that the story is about.
fn refused(result: Result<(), ApiError>) -> Result<ApiError, Failure> {
    match result {
        Err(refusal) if refusal.code == "InvalidGroup.NotFound" => Ok(refusal),
        Err(other) => Err(other.into()),
        Ok(()) => Err("EC2 took a rule from a group that does not exist".into()),
    }
}
