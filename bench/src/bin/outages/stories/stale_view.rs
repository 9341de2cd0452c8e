//! The AWS Load Balancer Controller revokes its rule because of a stale view of the group, and mends it 45 minutes later.

use std::slice;
use std::time::Duration;

use rulekeeper_bench::Result;
use rulekeeper_bench::client::Client;
use rulekeeper_bench::time::now;

use super::Story;
use super::lbc::FOLLOW;
use crate::controllers::lbc::{LoadBalancerController, Order, ROLE, marked};
use crate::replay::{End, Expected, Outcome, Replay};
use crate::rules::{Traffic, tcp};
use crate::setup::{Mode, Setup};

pub(crate) const STORY: Story = Story {
    name: "lbc-4889",
    title: "LBC, stale view: every shared rule is revoked",
    source: Some((
        "LBC #4889",
        "https://github.com/kubernetes-sigs/aws-load-balancer-controller/issues/4889",
    )),
    text: "While pods are replaced, the controller widens its rule from 3000-3008 to 3000-8025. After 45 seconds it works from \
           a stale view that still shows the old rule, and revokes the new one, which was the last. A new leader takes \
           over, trusts its checkpoints, and looks at the group half an hour later: it authorizes 3000, 3000-3008 and \
           3000-8025 one after the other, and then revokes the narrower two. That the change before was this widening is \
           our reading of the report. Events that take a minute tell of the wider rule when it is gone again, so rulekeeper \
           never knew it: only the ports of the rule before come back.",
    policy: "follow",
};

/// From the widening to the revoke, as reported.
const STALE_AFTER: Duration = Duration::from_secs(45);

/// The whole outage, as reported.
const OUTAGE: Duration = Duration::from_secs(45 * 60);

/// From the first rule's return to the second's, from there to the third's, and from there to the revoke of the narrower
/// ones, by the times in the report.
const STEPS: [Duration; 3] = [
    Duration::from_secs(107),
    Duration::from_secs(85),
    Duration::from_secs(561),
];

const UNTIL_MENDING: &str =
    "until the new leader looks at the group; the report gives 45 minutes for the outage";
const BETWEEN: &str = "between the new leader's bindings, by the times in the report";

/// What is left of each step, so that its events have times of their own.
const BREATH: Duration = Duration::from_secs(1);

pub(super) async fn play(setup: Setup) -> Result<Outcome> {
    let balancers = setup.group("k8s-traffic", &Default::default())?;
    let office = tcp(443, 443, "10.8.0.0/16");
    let (lowest, narrow, wide) = (
        tcp(3000, 3000, &balancers),
        tcp(3000, 3008, &balancers),
        tcp(3000, 8025, &balancers),
    );
    let mut rules = marked(slice::from_ref(&narrow));
    rules.insert(office.clone(), "office".to_owned());
    let cluster = setup.group("eks-cluster", &rules)?;
    let client = Client::service_account(&setup.stack, ROLE);
    let needed = [3008].map(|port| Traffic::from_group(port, &balancers));
    let (mut replay, api) = Replay::begin(setup, &cluster, client, &[FOLLOW], needed.into())?;
    let mut lbc = LoadBalancerController::new(api, Order::AuthorizeFirst);

    replay.wait_for_new_second().await?;
    lbc.reconcile(slice::from_ref(&wide)).await?;
    replay
        .add_traffic(Traffic::from_group(8025, &balancers))
        .await?;
    replay.wait(STALE_AFTER).await?;
    lbc.set_view(&[narrow.clone(), wide.clone()]);
    replay.wait_for_new_second().await?;
    let revoked = now();
    lbc.reconcile(slice::from_ref(&narrow)).await?;
    replay.wait(BREATH).await?;
    if replay.mode() != Mode::Without {
        replay.wait_idle().await?;
    }

    let mending: Duration = STEPS[..2].iter().sum();
    let waited = Duration::from_micros(now() - revoked);
    replay
        .skip(OUTAGE - mending - waited, UNTIL_MENDING)
        .await?;
    let mut leader = lbc.new_leader();
    for (wanted, step) in [&lowest, &narrow, &wide].into_iter().zip(STEPS) {
        leader.authorize_only(slice::from_ref(wanted)).await?;
        replay.wait(BREATH).await?;
        replay.skip(step - BREATH, BETWEEN).await?;
    }
    leader.reconcile(slice::from_ref(&wide)).await?;

    let expected = Expected {
        live: vec![office, wide],
        gone: vec![lowest, narrow],
    };
    replay.finish(End::Flows, expected).await
}
