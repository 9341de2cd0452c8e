//! The EC2 controller of AWS Controllers for Kubernetes.
//!
//! From its source (`pkg/resource/security_group/hooks.go`): it revokes all rules that differ in anything, such as the
//! description, in one call, and authorizes them again in another. One worker handles one group after the other. The AWS
//! SDK for Go makes three attempts for a throttled call, as long as its retry quota lasts.

use std::ops::Range;
use std::time::Duration;

use rulekeeper_bench::Result;
use rulekeeper_bench::client::ApiError;
use rulekeeper_bench::time::{micros, now};

use crate::group_client::GroupClient;
use crate::replay::Replay;
use crate::rules::Described;

/// The role of its service account.
pub(crate) const ROLE: &str = "ack-ec2-controller";

/// EC2's error while an account makes too many calls.
pub(crate) const THROTTLED: &str = "RequestLimitExceeded";

/// The SDK waits a random part of one second and then of two seconds; these are the averages.
const RETRY_WAITS: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(1)];

/// Milliseconds between two authorizes for other groups: the retries of many workers with jitter. They use up somewhat more
/// than the bucket gains. With a fixed interval, every call or none would find a token.
const OTHERS_INTERVAL_MS: Range<u64> = 50..300;

/// The controller's process.
#[derive(Debug)]
pub(crate) struct AckController {
    client: GroupClient,
    others: GroupClient,
}

impl AckController {
    /// `other_group` stands for all other groups that it keeps.
    pub(crate) fn new(client: GroupClient, other_group: &str) -> Self {
        let others = client.of_group(other_group);
        Self { client, others }
    }

    /// Revokes what differs in the group, and authorizes it again.
    pub(crate) async fn sync(&self, wanted: &Described) -> Result<(), ApiError> {
        let live = self.client.read().await?;
        let different = |rules: &Described, others: &Described| -> Described {
            let mut different = rules.clone();
            different.retain(|rule, text| others.get(rule) != Some(text));
            different
        };
        let (extra, missing) = (different(&live, wanted), different(wanted, &live));
        if !extra.is_empty() {
            self.client.revoke(&extra).await?;
        }
        if !missing.is_empty() {
            self.authorize(&missing).await?;
        }
        Ok(())
    }

    async fn authorize(&self, rules: &Described) -> Result<(), ApiError> {
        for wait in RETRY_WAITS {
            match self.client.authorize(rules).await {
                Err(error) if error.code == THROTTLED => tokio::time::sleep(wait).await,
                result => return result,
            }
        }
        self.client.authorize(rules).await
    }

    /// Handles its other groups until no traffic of the group is cut.
    pub(crate) async fn sync_others(&self, replay: &mut Replay, rules: &Described) -> Result<()> {
        // The stack of the replays has no queue, so a change that is kept open by a throttled try stays open until the
        // controller comes back.
        let deadline = now() + micros(replay.restore_timeout());
        while replay.holds(&|seen| seen.is_cut())? && now() < deadline {
            // The result does not matter: the call takes a token from the bucket if there is one.
            let wait = Duration::from_millis(fastrand::u64(OTHERS_INTERVAL_MS));
            let (_, waited) = tokio::join!(self.others.authorize(rules), replay.wait(wait));
            waited?;
        }
        Ok(())
    }
}
