//! The part of the AWS Load Balancer Controller that keeps rules on the group of the nodes.
//!
//! From its source (`pkg/networking/security_group_reconciler.go`, `networking_manager.go`) and the reports:
//! - its rules are those with its description, and it authorizes all that it wants in one call;
//! - up to 2.9 it revokes first; from 2.10 (pull request 3952) it authorizes first, and revokes first only after EC2 refused
//!   the authorize because the group is full;
//! - it caches its view of the group for ten minutes (issue 4889), and drops the view after a change that it made and after
//!   an error about a duplicate or missing rule;
//! - it retries a failed change after 5 ms, 10 ms, 20 ms … 1,000 s (`client-go`'s default; the flag
//!   `--targetgroupbinding-max-exponential-backoff-delay`).

use std::time::Duration;

use rulekeeper_bench::Result;
use rulekeeper_bench::client::ApiError;
use rulekeeper_bench::time::{Moment, between, micros, now};

use crate::group_client::GroupClient;
use crate::measurements::Measurements;
use crate::replay::Replay;
use crate::rules::{Described, Rule, described, missing};

/// The role of its service account.
pub(crate) const ROLE: &str = "LoadBalancerController";

/// The description of its rules.
pub(crate) const DESCRIPTION: &str = "elbv2.k8s.aws/targetGroupBinding=shared";

const VIEW_TTL: Duration = Duration::from_secs(600);
const FIRST_BACKOFF: Duration = Duration::from_millis(5);
const MAX_BACKOFF: Duration = Duration::from_secs(1_000);

/// Between retries whose backoff is skipped.
const SKIPPED_BACKOFF: Duration = Duration::from_millis(50);

const UNTIL_VIEW_EXPIRES: &str =
    "until the controller's view of the group is ten minutes old, and it retries with a new one";

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
    client: GroupClient,
    order: Order,
    view: Option<Described>,
    failures: u32,
    first_failure: Moment,
    next_retry: Moment,
}

impl LoadBalancerController {
    /// A new process, without a view of the group.
    pub(crate) fn new(client: GroupClient, order: Order) -> Self {
        Self {
            client,
            order,
            view: None,
            failures: 0,
            first_failure: 0,
            next_retry: 0,
        }
    }

    /// The next leader: another process of the same deployment.
    pub(crate) fn new_leader(self) -> Self {
        Self::new(self.client, self.order)
    }

    /// Makes the controller work from this view of the group, even if it is wrong.
    pub(crate) fn set_view(&mut self, rules: &[Rule]) {
        self.view = Some(described(rules, DESCRIPTION));
    }

    /// Changes its rules to those that it wants.
    pub(crate) async fn reconcile(&mut self, wanted: &[Rule]) -> Result<(), ApiError> {
        let wanted = described(wanted, DESCRIPTION);
        match self.change(&wanted).await {
            Err(error) if is_stale_view(&error) => {
                self.view = None;
                self.change(&wanted).await
            }
            result => result,
        }
    }

    async fn change(&mut self, wanted: &Described) -> Result<(), ApiError> {
        let live = self.read().await?;
        let mut own = live.clone();
        own.retain(|_, description| description == DESCRIPTION);
        let (extra, missing) = (missing(&own, wanted), missing(wanted, &live));
        if self.order == Order::AuthorizeFirst {
            match self.authorize(&missing).await {
                Ok(()) => return self.revoke(&extra).await,
                Err(error) if error.code != "RulesPerSecurityGroupLimitExceeded" => {
                    return Err(error);
                }
                Err(_) => {}
            }
        }
        self.revoke(&extra).await?;
        self.authorize(&missing).await
    }

    /// Authorizes what is missing and revokes nothing: a new leader does not know all its bindings yet.
    pub(crate) async fn authorize_only(&mut self, wanted: &[Rule]) -> Result<(), ApiError> {
        let live = self.read().await?;
        let wanted = described(wanted, DESCRIPTION);
        self.authorize(&missing(&wanted, &live)).await
    }

    async fn read(&mut self) -> Result<Described, ApiError> {
        if self.view.is_none() {
            self.view = Some(self.client.read().await?);
        }
        Ok(self.view.clone().unwrap_or_default())
    }

    async fn revoke(&mut self, rules: &Described) -> Result<(), ApiError> {
        if !rules.is_empty() {
            self.client.revoke(rules).await?;
            self.view = None;
        }
        Ok(())
    }

    async fn authorize(&mut self, rules: &Described) -> Result<(), ApiError> {
        if !rules.is_empty() {
            self.client.authorize(rules).await?;
            self.view = None;
        }
        Ok(())
    }

    /// Reconciles; EC2 must refuse it with this code, and a retry is scheduled.
    pub(crate) async fn fail(&mut self, wanted: &[Rule], code: &str) -> Result<()> {
        match self.reconcile(wanted).await {
            Err(error) if error.code == code => {}
            Err(other) => return Err(other.into()),
            Ok(()) => return Err(format!("EC2 did not refuse with {code}").into()),
        }
        if self.failures == 0 {
            self.first_failure = now();
        }
        self.next_retry = now() + micros(backoff(self.failures));
        self.failures += 1;
        Ok(())
    }

    /// Retries whenever a retry is due until a condition holds, and returns true; false if it does not hold in time.
    pub(crate) async fn retry_until(
        &mut self,
        replay: &mut Replay,
        wanted: &[Rule],
        code: &str,
        timeout: Duration,
        condition: impl Fn(&Measurements) -> bool,
    ) -> Result<bool> {
        let deadline = now() + micros(timeout);
        loop {
            let wait = between(now(), self.next_retry.min(deadline));
            if replay.wait_until(wait, &condition).await? {
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

    /// Skips to the first retry after the view has expired.
    pub(crate) async fn skip_until_view_expires(
        &mut self,
        replay: &mut Replay,
        wanted: &[Rule],
        code: &str,
    ) -> Result<()> {
        self.skip_retries(replay, wanted, code, VIEW_TTL, UNTIL_VIEW_EXPIRES)
            .await?;
        self.view = None;
        Ok(())
    }

    /// Makes all retries within a time from the first failure, without the backoff between them, and skips to the next one.
    pub(crate) async fn skip_retries(
        &mut self,
        replay: &mut Replay,
        wanted: &[Rule],
        code: &str,
        time: Duration,
        text: &'static str,
    ) -> Result<()> {
        while due(self.failures) < time {
            self.fail(wanted, code).await?;
            replay.wait(SKIPPED_BACKOFF).await?;
        }
        let since = between(self.first_failure, now());
        let rest = due(self.failures).saturating_sub(since);
        replay.skip(rest, text).await
    }
}

/// The backoff after a failure; the first failure is number 0.
fn backoff(failure: u32) -> Duration {
    let doubled = 1_u32.checked_shl(failure).unwrap_or(u32::MAX);
    FIRST_BACKOFF.saturating_mul(doubled).min(MAX_BACKOFF)
}

/// When the retry after this many failures is due, from the first failure.
fn due(failures: u32) -> Duration {
    (0..failures).map(backoff).sum()
}

/// Whether the error shows that the view is stale.
fn is_stale_view(error: &ApiError) -> bool {
    ["InvalidPermission.Duplicate", "InvalidPermission.NotFound"].contains(&error.code.as_str())
}
