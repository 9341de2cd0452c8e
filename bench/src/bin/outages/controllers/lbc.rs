//! The AWS Load Balancer Controller's part that keeps rules on the nodes' group.
//!
//! From its source (`pkg/networking/security_group_reconciler.go`, `networking_manager.go`) and the reports:
//! - it takes as its own the rules with its description, and sends all that it wants in one call;
//! - up to 2.9 it revokes first; from 2.10 (pull request 3952) it authorizes first, and revokes first only after a refusal
//!   for want of room;
//! - it works from a view of the group that it keeps for ten minutes (issue 4889), and drops it after a change of its own
//!   or a duplicate or missing rule;
//! - a change that fails is tried again after 5 ms, 10 ms, 20 ms … 1,000 s (`client-go`'s default; the flag
//!   `--targetgroupbinding-max-exponential-backoff-delay`).

use std::time::Duration;

use rulekeeper_bench::Result;
use rulekeeper_bench::client::ApiError;
use rulekeeper_bench::time::{Moment, micros, now};

use crate::group_client::GroupClient;
use crate::replay::Replay;
use crate::rules::{Described, Rule, missing};
use crate::watch::Watch;

/// The role of its service account.
pub(crate) const ROLE: &str = "LoadBalancerController";

/// How it marks its rules.
pub(crate) const DESCRIPTION: &str = "elbv2.k8s.aws/targetGroupBinding=shared";

const VIEW_TTL: Duration = Duration::from_secs(600);
const FIRST_BACKOFF: Duration = Duration::from_millis(5);
const MAX_BACKOFF: Duration = Duration::from_secs(1_000);

/// Between tries whose waits are skipped.
const SKIPPED_BACKOFF: Duration = Duration::from_millis(50);

/// What is skipped between two looks at the group.
const UNTIL_NEXT_LOOK: &str = "until the controller's view of the group is ten minutes old, and a try with a fresh one is due";

/// Which call comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Up to 2.9.
    RevokeFirst,
    /// From 2.10.
    AuthorizeFirst,
}

/// The controller's process.
#[derive(Debug)]
pub(crate) struct LoadBalancerController {
    api: GroupClient,
    order: Order,
    view: Option<Described>,
    failures: u32,
    first_failure: Moment,
    next_retry: Moment,
}

impl LoadBalancerController {
    /// Has not looked at the group yet.
    pub(crate) fn new(api: GroupClient, order: Order) -> Self {
        Self {
            api,
            order,
            view: None,
            failures: 0,
            first_failure: 0,
            next_retry: 0,
        }
    }

    /// The leader after this one: another process of the same deployment.
    pub(crate) fn new_leader(self) -> Self {
        Self::new(self.api, self.order)
    }

    /// Takes rules for what the group holds, whether it does or not.
    pub(crate) fn set_view(&mut self, rules: &[Rule]) {
        self.view = Some(marked(rules));
    }

    /// Brings its rules in line with what it wants.
    pub(crate) async fn reconcile(&mut self, wanted: &[Rule]) -> Result<(), ApiError> {
        let wanted = marked(wanted);
        match self.change(&wanted).await {
            Err(refusal) if is_stale_view(&refusal) => {
                self.view = None;
                self.change(&wanted).await
            }
            result => result,
        }
    }

    async fn change(&mut self, wanted: &Described) -> Result<(), ApiError> {
        let there = self.read().await?;
        let mut ours = there.clone();
        ours.retain(|_, description| description == DESCRIPTION);
        let (extra, wanted) = (missing(&ours, wanted), missing(wanted, &there));
        if self.order == Order::AuthorizeFirst {
            match self.authorize(&wanted).await {
                Ok(()) => return self.revoke(&extra).await,
                Err(refusal) if refusal.code != "RulesPerSecurityGroupLimitExceeded" => {
                    return Err(refusal);
                }
                Err(_) => {}
            }
        }
        self.revoke(&extra).await?;
        self.authorize(&wanted).await
    }

    /// Adds what it wants and does not see, as long as it does not know yet what all its bindings want.
    pub(crate) async fn authorize_only(&mut self, wanted: &[Rule]) -> Result<(), ApiError> {
        let there = self.read().await?;
        self.authorize(&missing(&marked(wanted), &there)).await
    }

    async fn read(&mut self) -> Result<Described, ApiError> {
        if self.view.is_none() {
            self.view = Some(self.api.read().await?);
        }
        Ok(self.view.clone().unwrap_or_default())
    }

    async fn revoke(&mut self, rules: &Described) -> Result<(), ApiError> {
        if !rules.is_empty() {
            self.api.revoke(rules).await?;
            self.view = None;
        }
        Ok(())
    }

    async fn authorize(&mut self, rules: &Described) -> Result<(), ApiError> {
        if !rules.is_empty() {
            self.api.authorize(rules).await?;
            self.view = None;
        }
        Ok(())
    }

    /// A reconcile that EC2 refuses with this code, as the story has it.
    pub(crate) async fn fail(&mut self, wanted: &[Rule], code: &str) -> Result<()> {
        match self.reconcile(wanted).await {
            Err(refusal) if refusal.code == code => {}
            Err(other) => return Err(other.into()),
            Ok(()) => return Err(format!("EC2 should have refused with {code}").into()),
        }
        if self.failures == 0 {
            self.first_failure = now();
        }
        self.next_retry = now() + micros(backoff(self.failures));
        self.failures += 1;
        Ok(())
    }

    /// Tries again and again, as the work queue has it, until something is so; says whether it became so.
    pub(crate) async fn retry_until(
        &mut self,
        replay: &mut Replay,
        wanted: &[Rule],
        code: &str,
        most: Duration,
        until: impl Fn(&Watch) -> bool,
    ) -> Result<bool> {
        let deadline = now() + micros(most);
        loop {
            if replay.holds(&until)? {
                return Ok(true);
            }
            let next = self.next_retry.min(deadline);
            let wait = next.saturating_sub(now());
            if replay
                .wait_until(Duration::from_micros(wait), &until)
                .await?
            {
                return Ok(true);
            }
            if now() >= deadline {
                return Ok(false);
            }
            if now() >= self.next_retry {
                self.fail(wanted, code).await?;
            }
        }
    }

    /// Goes on to the first try after the view is ten minutes old.
    pub(crate) async fn skip_until_view_expires(
        &mut self,
        replay: &mut Replay,
        wanted: &[Rule],
        code: &str,
    ) -> Result<()> {
        self.skip_retries(replay, wanted, code, VIEW_TTL, UNTIL_NEXT_LOOK)
            .await?;
        self.view = None;
        Ok(())
    }

    /// Makes the tries that are due within so long from the first failure on, without the waits between them. The next
    /// one is due then.
    pub(crate) async fn skip_retries(
        &mut self,
        replay: &mut Replay,
        wanted: &[Rule],
        code: &str,
        time: Duration,
        why: &'static str,
    ) -> Result<()> {
        while due(self.failures) < time {
            self.fail(wanted, code).await?;
            replay.wait(SKIPPED_BACKOFF).await?;
        }
        let since = Duration::from_micros(now().saturating_sub(self.first_failure));
        replay
            .skip(due(self.failures).saturating_sub(since), why)
            .await
    }
}

/// How long the work queue waits after a failure, the first being number 0.
fn backoff(failure: u32) -> Duration {
    let doubled = 1_u32.checked_shl(failure).unwrap_or(u32::MAX);
    FIRST_BACKOFF.saturating_mul(doubled).min(MAX_BACKOFF)
}

/// When the try after so many failures is due, from the first failure on.
fn due(failures: u32) -> Duration {
    (0..failures).map(backoff).sum()
}

/// Rules with the controller's mark.
pub(crate) fn marked(rules: &[Rule]) -> Described {
    let marked = rules
        .iter()
        .map(|rule| (rule.clone(), DESCRIPTION.to_owned()));
    marked.collect()
}

/// Codes that tell it that its view is stale.
fn is_stale_view(refusal: &ApiError) -> bool {
    ["InvalidPermission.Duplicate", "InvalidPermission.NotFound"].contains(&refusal.code.as_str())
}
