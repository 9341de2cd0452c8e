//! The AWS Load Balancer Controller revokes its rule because its view of the group is stale, and repairs it 45 minutes later.

use std::slice;
use std::time::Duration;

use rulekeeper_bench::Result;
use rulekeeper_bench::client::Client;
use rulekeeper_bench::time::{between, now};

use super::Story;
use super::lbc::FOLLOW;
use crate::controllers::lbc::{DESCRIPTION, LoadBalancerController, Order, ROLE};
use crate::replay::{End, Expected, Outcome, Replay};
use crate::rules::{Described, Traffic, described, tcp};
use crate::setup::Setup;

pub(crate) const STORY: Story = Story {
    name: "lbc-4889",
    title: "LBC, stale view: every shared rule is revoked",
    source: Some((
        "LBC #4889",
        "https://github.com/kubernetes-sigs/aws-load-balancer-controller/issues/4889",
    )),
    text: "While pods are replaced, the controller widens its rule from 3000-3008 to 3000-8025. After 45 seconds it works from \
           a stale view that still has the old rule, and revokes the new one, which was the last. A new leader takes over, \
           trusts its checkpoints, and reads the group half an hour later: it authorizes 3000, 3000-3008 and 3000-8025 one \
           after the other, and then revokes the narrower two. The report does not say that the change before the revoke \
           was this widening; we assume it. With a delay of a minute, the event of the wider rule arrives when that rule is \
           revoked already, so rulekeeper never records it and restores only the ports of the old rule.",
    policy: "follow",
    replay: |setup| Box::pin(replay(setup)),
};

/// From the widening to the revoke, as reported.
const STALE_AFTER: Duration = Duration::from_secs(45);

/// The whole outage, as reported.
const OUTAGE: Duration = Duration::from_secs(45 * 60);

/// From the first rule to the second, from the second to the third, and from the third to the revoke of the narrower two, by
/// the times in the report.
const STEPS: [Duration; 3] = [
    Duration::from_secs(107),
    Duration::from_secs(85),
    Duration::from_secs(561),
];

const UNTIL_REPAIR: &str =
    "until the new leader reads the group; the report says 45 minutes for the outage";
const BETWEEN_STEPS: &str = "between the new leader's bindings, by the times in the report";

/// The part of each step that is not skipped, so that the times of its events differ.
const PAUSE: Duration = Duration::from_secs(1);

async fn replay(setup: Setup) -> Result<Outcome> {
    let balancers = setup.group("k8s-traffic", &Described::new())?;
    let office = tcp(443, 443, "10.8.0.0/16");
    let lowest = tcp(3000, 3000, &balancers);
    let narrow = tcp(3000, 3008, &balancers);
    let wide = tcp(3000, 8025, &balancers);
    let mut rules = described(slice::from_ref(&narrow), DESCRIPTION);
    rules.insert(office.clone(), "office".to_owned());
    let cluster = setup.group("eks-cluster", &rules)?;
    let client = Client::service_account(&setup.stack, ROLE);
    let traffic = vec![Traffic::from_group(3008, &balancers)];
    let (mut replay, client) = Replay::begin(setup, &cluster, client, &[FOLLOW], traffic)?;
    let mut lbc = LoadBalancerController::new(client, Order::AuthorizeFirst);

    replay.wait_for_new_second().await?;
    lbc.reconcile(slice::from_ref(&wide)).await?;
    let traffic = Traffic::from_group(8025, &balancers);
    replay.add_traffic(traffic).await?;
    replay.wait(STALE_AFTER).await?;
    lbc.set_view(&[narrow.clone(), wide.clone()]);
    replay.wait_for_new_second().await?;
    let revoked = now();
    lbc.reconcile(slice::from_ref(&narrow)).await?;
    replay.wait(PAUSE).await?;
    if replay.has_rulekeeper() {
        replay.wait_idle().await?;
    }

    let repair: Duration = STEPS[..2].iter().sum();
    let waited = between(revoked, now());
    let rest = OUTAGE - repair - waited;
    replay.skip(rest, UNTIL_REPAIR).await?;
    let mut leader = lbc.new_leader();
    for (wanted, step) in [&lowest, &narrow, &wide].into_iter().zip(STEPS) {
        leader.authorize_only(slice::from_ref(wanted)).await?;
        replay.wait(PAUSE).await?;
        replay.skip(step - PAUSE, BETWEEN_STEPS).await?;
    }
    leader.reconcile(slice::from_ref(&wide)).await?;

    let expected = Expected {
        live: vec![office, wide],
        gone: vec![lowest, narrow],
    };
    replay.finish(End::Flows, expected).await
}
