//! Three outages of the AWS Load Balancer Controller that start with a refused authorize.

use std::slice;
use std::time::Duration;

use rulekeeper_bench::Result;
use rulekeeper_bench::client::Client;

use super::Story;
use crate::controllers::lbc::{DESCRIPTION, LoadBalancerController, Order, ROLE};
use crate::measurements::Measurements;
use crate::replay::{End, Expected, Outcome, Replay};
use crate::rules::{Described, Rule, Traffic, described, tcp};
use crate::setup::{Principal, Setup};

pub(crate) const BAD_REFERENCE: Story = Story {
    name: "lbc-3822",
    title: "LBC, revoke first: a wider range in one call with a group that does not exist",
    source: Some((
        "LBC #3822",
        "https://github.com/kubernetes-sigs/aws-load-balancer-controller/issues/3822",
    )),
    text: "A service with a higher port widens the controller's rule on the nodes, so it revokes 80-9093 and authorizes \
           80-9100. The same call asks for a rule from a group that does not exist, because a TargetGroupBinding has a wrong \
           id. EC2 refuses the whole call, and every retry of it. With rulekeeper, somebody then fixes the binding: the \
           controller authorizes 80-9100 and, when it next reads the group, revokes the restored rule.",
    policy: "follow",
    replay: |setup| Box::pin(bad_reference(setup)),
};

pub(crate) const NARROWED_RANGE: Story = Story {
    name: "lbc-3809",
    title: "LBC, revoke first: a wrong binding cuts traffic a day later",
    source: Some((
        "LBC #3809",
        "https://github.com/kubernetes-sigs/aws-load-balancer-controller/issues/3809",
    )),
    text: "A TargetGroupBinding refers to a group that does not exist. For a day EC2 refuses its authorize, and no traffic is \
           cut. Then a node is replaced, and here the replay starts: the controller's range shrinks from 80-9000 to 80, and \
           it revokes the old rule. The new rule is in one call with the refused one. Nobody fixes the binding: ten minutes \
           later the controller reads the group again, revokes the restored rule, and is refused again. The replay stops \
           there; the controller would go on.",
    policy: "follow",
    replay: |setup| Box::pin(narrowed_range(setup)),
};

pub(crate) const FULL_GROUP: Story = Story {
    name: "lbc-quota",
    title: "LBC at quota: EC2 refuses because the group is full, and refuses again after the revoke",
    source: Some((
        "LBC #3639",
        "https://github.com/kubernetes-sigs/aws-load-balancer-controller/issues/3639",
    )),
    text: "The group of the nodes has 60 rules. The controller, which authorizes first since 2.10, wants two rules instead of \
           one: for a wider range, and for a second load balancer group. EC2 refuses because the group is full, so the \
           controller revokes the old rule and tries again. There is room for one rule now, and EC2 refuses the two again. \
           The order of the calls is from the report; the numbers are ours. The replay stops after the controller has read \
           the group again, as in the story before.",
    policy: "follow",
    replay: |setup| Box::pin(full_group(setup)),
};

const NOT_FOUND: &str = "InvalidGroup.NotFound";
const FULL: &str = "RulesPerSecurityGroupLimitExceeded";

/// How long the replay without rulekeeper waits for the controller's retries before it skips their backoff.
const OBSERVED: Duration = Duration::from_secs(3);

/// Until the probe has seen a change.
const SEEN: Duration = Duration::from_millis(30);

/// When somebody fixes the binding, with rulekeeper; our choice, within the ten minutes.
const FIXED_AFTER: Duration = Duration::from_secs(300);

const UNTIL_FIXED: &str = "until somebody fixes the binding (with rulekeeper; the time is our choice) and the next retry is due";

/// Between two changes, so that the times of their events differ.
const PAUSE: Duration = Duration::from_secs(1);

/// The record's policy for the controller.
pub(super) const FOLLOW: Principal = ("LoadBalancerController*", "follow");

/// The change that EC2 refuses.
struct Change {
    order: Order,
    /// The controller's rule before the change.
    old: Rule,
    wanted: Vec<Rule>,
    /// EC2's error.
    code: &'static str,
    /// Other rules of the group.
    others: Described,
}

/// A replay of the change.
struct RefusedChange {
    replay: Replay,
    lbc: LoadBalancerController,
    change: Change,
}

impl RefusedChange {
    fn begin(setup: Setup, change: Change, traffic: Traffic) -> Result<Self> {
        let mut rules = described(slice::from_ref(&change.old), DESCRIPTION);
        rules.extend(change.others.clone());
        let nodes = setup.group("eks-nodes", &rules)?;
        let client = Client::service_account(&setup.stack, ROLE);
        let (replay, client) = Replay::begin(setup, &nodes, client, &[FOLLOW], vec![traffic])?;
        let lbc = LoadBalancerController::new(client, change.order);
        Ok(Self {
            replay,
            lbc,
            change,
        })
    }

    /// The refused change, and its retries until the rule is restored.
    async fn first_try(&mut self) -> Result<()> {
        self.replay.wait_for_new_second().await?;
        self.fail().await?;
        if !self.replay.has_rulekeeper() {
            self.retry_until(OBSERVED, |_| false).await?;
            return Ok(());
        }
        self.retry_until(SEEN, |_| false).await?;
        let timeout = self.replay.restore_timeout();
        if self.retry_until(timeout, |seen| !seen.is_cut()).await? {
            return Ok(());
        }
        Err(self.replay.not_restored())
    }

    async fn fail(&mut self) -> Result<()> {
        let Change { wanted, code, .. } = &self.change;
        self.lbc.fail(wanted, code).await
    }

    async fn retry_until(
        &mut self,
        timeout: Duration,
        condition: impl Fn(&Measurements) -> bool,
    ) -> Result<bool> {
        let Change { wanted, code, .. } = &self.change;
        self.lbc
            .retry_until(&mut self.replay, wanted, code, timeout, condition)
            .await
    }

    /// The first retry with a new view of the group: it revokes the restored rule.
    async fn retry_with_new_view(&mut self) -> Result<()> {
        let Change { wanted, code, .. } = &self.change;
        self.lbc
            .skip_until_view_expires(&mut self.replay, wanted, code)
            .await?;
        self.replay.wait_for_new_second().await?;
        self.fail().await?;
        self.replay.wait(SEEN).await?;
        if !self.replay.has_rulekeeper() {
            return Ok(());
        }
        // The next retry is due ten minutes later, so it does not disturb this.
        self.replay.wait_restored().await
    }

    /// Retries with a new view and ends the replay: the old rule is live only with rulekeeper.
    async fn finish(mut self) -> Result<Outcome> {
        self.retry_with_new_view().await?;
        let mut live: Vec<Rule> = self.change.others.into_keys().collect();
        let mut gone = vec![self.change.old];
        if !self.replay.has_rulekeeper() {
            return self.replay.finish(End::Cut, Expected { live, gone }).await;
        }
        live.append(&mut gone);
        self.replay
            .finish(End::Flows, Expected { live, gone })
            .await
    }
}

/// Rules of the group that are not the controller's.
fn other_rules() -> Described {
    let kubelet = (tcp(10250, 10250, "10.0.8.0/24"), "kubelet".to_owned());
    let office = (tcp(443, 443, "10.8.0.0/16"), "office".to_owned());
    [kubelet, office].into()
}

async fn bad_reference(setup: Setup) -> Result<Outcome> {
    let balancers = setup.group("k8s-traffic", &Described::new())?;
    let new = tcp(80, 9100, &balancers);
    let bad = tcp(8443, 8443, &setup.deleted_group()?);
    let change = Change {
        order: Order::RevokeFirst,
        old: tcp(80, 9093, &balancers),
        wanted: vec![new.clone(), bad],
        code: NOT_FOUND,
        others: other_rules(),
    };
    let traffic = Traffic::from_group(8080, &balancers);
    let mut refused = RefusedChange::begin(setup, change, traffic)?;
    refused.first_try().await?;
    if !refused.replay.has_rulekeeper() {
        return refused.finish().await;
    }

    let RefusedChange {
        mut replay,
        mut lbc,
        change,
    } = refused;
    let Change { wanted, code, .. } = &change;
    lbc.skip_retries(&mut replay, wanted, code, FIXED_AFTER, UNTIL_FIXED)
        .await?;
    let fixed = [new.clone()];
    lbc.reconcile(&fixed).await?;
    replay.wait(PAUSE).await?;
    lbc.reconcile(&fixed).await?;
    let expected = Expected {
        live: change.others.into_keys().chain([new]).collect(),
        ..Expected::default()
    };
    replay.finish(End::Flows, expected).await
}

async fn narrowed_range(setup: Setup) -> Result<Outcome> {
    let balancers = setup.group("k8s-traffic", &Described::new())?;
    let bad = tcp(9003, 9003, &setup.deleted_group()?);
    let change = Change {
        order: Order::RevokeFirst,
        old: tcp(80, 9000, &balancers),
        wanted: vec![tcp(80, 80, &balancers), bad],
        code: NOT_FOUND,
        others: other_rules(),
    };
    let traffic = Traffic::from_group(80, &balancers);
    let mut refused = RefusedChange::begin(setup, change, traffic)?;
    refused.first_try().await?;
    refused.finish().await
}

async fn full_group(setup: Setup) -> Result<Outcome> {
    let balancers = setup.group("k8s-traffic", &Described::new())?;
    let second = setup.group("k8s-traffic-2", &Described::new())?;
    let others = (1..60).map(|number: u16| {
        let source = format!("10.1.{number}.0/24");
        (tcp(5432, 5432, &source), format!("team {number}"))
    });
    let change = Change {
        order: Order::AuthorizeFirst,
        old: tcp(80, 9093, &balancers),
        wanted: vec![tcp(80, 9100, &balancers), tcp(80, 9100, &second)],
        code: FULL,
        others: others.collect(),
    };
    let traffic = Traffic::from_group(8080, &balancers);
    let mut refused = RefusedChange::begin(setup, change, traffic)?;
    refused.first_try().await?;
    refused.finish().await
}
