//! The EC2 controller of AWS Controllers for Kubernetes.
//!
//! From its source (`pkg/resource/security_group/hooks.go`): rules that differ in anything, their description included, are
//! revoked in one call and authorized anew in another. One worker serves all groups in turn. The AWS SDK for Go makes three
//! attempts of a throttled call, as long as its retry quota lasts.

use std::time::Duration;

use rulekeeper_bench::Result;
use rulekeeper_bench::client::ApiError;
use rulekeeper_bench::time::{micros, now};

use crate::group_client::GroupClient;
use crate::replay::Replay;
use crate::rules::Described;

/// The role of its service account.
pub(crate) const ROLE: &str = "ack-ec2-controller";

/// What EC2 refuses with while an account calls too often.
pub(crate) const THROTTLED: &str = "RequestLimitExceeded";

/// The SDK waits a random part of one second and of two; this is the middle.
const RETRY_WAITS: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(1)];

/// Between two authorizes for other groups, in milliseconds: many workers' retries with jitter, somewhat more in all than
/// the bucket gains. A steady beat would meet each token as it comes, or none.
const OTHERS_INTERVAL_MS: std::ops::Range<u64> = 50..300;

/// The controller's process.
#[derive(Debug)]
pub(crate) struct AckController {
    api: GroupClient,
    others: GroupClient,
}

impl AckController {
    /// `others` stands for all the other groups that it keeps.
    pub(crate) fn new(api: GroupClient, others: &str) -> Self {
        let others = api.at(others);
        Self { api, others }
    }

    /// Its turn at the group: revokes what differs and authorizes it anew.
    pub(crate) async fn sync(&self, wanted: &Described) -> Result<(), ApiError> {
        let there = self.api.read().await?;
        let changed = |rules: &Described, other: &Described| -> Described {
            let mut changed = rules.clone();
            changed.retain(|rule, text| other.get(rule) != Some(text));
            changed
        };
        let (extra, missing) = (changed(&there, wanted), changed(wanted, &there));
        if !extra.is_empty() {
            self.api.revoke(&extra).await?;
        }
        if !missing.is_empty() {
            self.authorize(&missing).await?;
        }
        Ok(())
    }

    async fn authorize(&self, rules: &Described) -> Result<(), ApiError> {
        for wait in RETRY_WAITS {
            match self.api.authorize(rules).await {
                Err(refusal) if refusal.code == THROTTLED => tokio::time::sleep(wait).await,
                result => return result,
            }
        }
        self.api.authorize(rules).await
    }

    /// Goes on with its other groups until traffic flows again.
    pub(crate) async fn sync_others(&self, replay: &mut Replay, rules: &Described) -> Result<()> {
        let deadline = now() + micros(replay.restore_timeout());
        while replay.holds(&|seen| seen.is_cut())? {
            if now() > deadline {
                return Err(replay.not_restored());
            }
            // Whatever comes of it: it costs the account a token, if there is one.
            let wait = Duration::from_millis(fastrand::u64(OTHERS_INTERVAL_MS));
            let (_, passed) = tokio::join!(self.others.authorize(rules), replay.wait(wait));
            passed?;
        }
        Ok(())
    }
}
