//! Three outages of the AWS Load Balancer Controller that begin with a refused authorize.

use std::time::Duration;

use rulekeeper_bench::Result;
use rulekeeper_bench::client::Client;

use super::Story;
use crate::controllers::lbc::{LoadBalancerController, Order, ROLE, marked};
use crate::replay::{End, Expected, Outcome, Replay};
use crate::rules::{Described, Rule, Traffic, tcp};
use crate::setup::{Mode, Principal, Setup};

const NOT_FOUND: &str = "InvalidGroup.NotFound";
const FULL: &str = "RulesPerSecurityGroupLimitExceeded";

/// How long we look at the controller's tries where nobody keeps the rules, before the next ones are made without waiting.
const LOOK: Duration = Duration::from_secs(3);

/// When somebody mends the binding where rulekeeper keeps the rules: a number of ours, within the ten minutes.
const MENDED_AFTER: Duration = Duration::from_secs(300);

const UNTIL_MENDED: &str =
    "until somebody mends the binding (with rulekeeper; a number of ours) and the next try is due";

/// Between two changes that follow on one another, so that their times differ.
const BREATH: Duration = Duration::from_secs(1);

/// How the record takes the controller.
pub(super) const FOLLOW: Principal = ("LoadBalancerController*", "follow");

pub(crate) const BAD_REFERENCE: Story = Story {
    name: "lbc-3822",
    title: "LBC, revoke first: a wider range in one call with a group that does not exist",
    source: Some((
        "LBC #3822",
        "https://github.com/kubernetes-sigs/aws-load-balancer-controller/issues/3822",
    )),
    text: "A service with a higher port widens the controller's rule on the nodes, so it revokes 80-9093 and authorizes \
           80-9100. The same call asks for a rule from a group that does not exist, because somebody wrote a wrong id into \
           a TargetGroupBinding, and is refused as a whole, however often it is repeated. With rulekeeper, somebody \
           then mends the binding: the controller authorizes 80-9100 and, at its next look, revokes what came back.",
    policy: "follow",
};

pub(crate) const NARROWED_RANGE: Story = Story {
    name: "lbc-3809",
    title: "LBC, revoke first: a wrong binding comes to light a day later",
    source: Some((
        "LBC #3809",
        "https://github.com/kubernetes-sigs/aws-load-balancer-controller/issues/3809",
    )),
    text: "A TargetGroupBinding names a group that does not exist; its authorize is refused for a day, and nobody is harmed. \
           Then a node is replaced, which is where the replay begins: the controller's range shrinks from 80-9000 to 80, \
           and it revokes the old rule. The new one is in one call with the rule that is refused. Nobody mends the binding: at its next fresh look at the \
           group, ten minutes later, the controller revokes what came back, and is refused again. There the replay stops; \
           the controller would not.",
    policy: "follow",
};

pub(crate) const FULL_GROUP: Story = Story {
    name: "lbc-quota",
    title: "LBC at quota: refused for want of room, it revokes first and is refused again",
    source: Some((
        "LBC #3639",
        "https://github.com/kubernetes-sigs/aws-load-balancer-controller/issues/3639",
    )),
    text: "The nodes' group has 60 rules. The controller, which authorizes first since 2.10, wants two rules for one: for a \
           wider range, and for a second load balancer group. EC2 refuses for want of room, so it revokes the old rule and \
           tries again; there is room for one rule now, and two are refused as well. The report is of the order; the \
           numbers are ours. The replay stops after the controller's next fresh look at the group, as before.",
    policy: "follow",
};

/// Who plays.
struct Cast {
    nodes: String,
    balancers: String,
    others: Described,
}

/// The nodes' group with a rule of the controller's and others that are not.
fn cast(setup: &Setup, shared: (u16, u16), others: Described) -> Result<Cast> {
    let balancers = setup.group("k8s-traffic", &Described::new())?;
    let mut rules = marked(&[tcp(shared.0, shared.1, &balancers)]);
    rules.extend(others.clone());
    let nodes = setup.group("eks-nodes", &rules)?;
    Ok(Cast {
        nodes,
        balancers,
        others,
    })
}

fn ordinary() -> Described {
    let kubelet = (tcp(10250, 10250, "10.0.8.0/24"), "kubelet".to_owned());
    let office = (tcp(443, 443, "10.8.0.0/16"), "office".to_owned());
    [kubelet, office].into()
}

fn begin(
    setup: Setup,
    cast: &Cast,
    order: Order,
    port: u16,
) -> Result<(Replay, LoadBalancerController)> {
    let client = Client::service_account(&setup.stack, ROLE);
    let needed = vec![Traffic::from_group(port, &cast.balancers)];
    let (replay, api) = Replay::begin(setup, &cast.nodes, client, &[FOLLOW], needed)?;
    Ok((replay, LoadBalancerController::new(api, order)))
}

/// The refused change, and the tries after it: until the traffic flows again, or as long as we look.
async fn refused(
    replay: &mut Replay,
    lbc: &mut LoadBalancerController,
    wanted: &[Rule],
    code: &str,
) -> Result<()> {
    replay.wait_for_new_second().await?;
    lbc.fail(wanted, code).await?;
    if replay.mode() == Mode::Without {
        lbc.retry_until(replay, wanted, code, LOOK, |_| false)
            .await?;
        return Ok(());
    }
    let most = replay.restore_timeout();
    let back = |seen: &crate::watch::Watch| !seen.is_cut();
    // The change is seen a moment after it is made.
    lbc.retry_until(replay, wanted, code, LOOK / 100, |_| false)
        .await?;
    if lbc.retry_until(replay, wanted, code, most, back).await? {
        return Ok(());
    }
    Err(replay.not_restored())
}

/// The first try with a fresh view: whatever came back is extra, and is revoked again.
async fn next_look(
    replay: &mut Replay,
    lbc: &mut LoadBalancerController,
    wanted: &[Rule],
    code: &str,
) -> Result<()> {
    lbc.skip_until_view_expires(replay, wanted, code).await?;
    replay.wait_for_new_second().await?;
    lbc.fail(wanted, code).await?;
    replay.wait(LOOK / 100).await?;
    if replay.mode() == Mode::Without {
        return Ok(());
    }
    // The next try is due ten minutes later.
    replay.wait_restored().await
}

/// Every rule that was there in the beginning.
fn everything(cast: &Cast, shared: Rule) -> Expected {
    Expected {
        live: cast.others.keys().cloned().chain([shared]).collect(),
        ..Expected::default()
    }
}

fn nothing_but(cast: &Cast, gone: Rule) -> Expected {
    Expected {
        live: cast.others.keys().cloned().collect(),
        gone: vec![gone],
    }
}

pub(super) async fn bad_reference(setup: Setup) -> Result<Outcome> {
    let cast = cast(&setup, (80, 9093), ordinary())?;
    let (old, new) = (
        tcp(80, 9093, &cast.balancers),
        tcp(80, 9100, &cast.balancers),
    );
    let bad = tcp(8443, 8443, &setup.deleted_group()?);
    let (mut replay, mut lbc) = begin(setup, &cast, Order::RevokeFirst, 8080)?;

    let wanted = [new.clone(), bad];
    refused(&mut replay, &mut lbc, &wanted, NOT_FOUND).await?;
    if replay.mode() == Mode::Without {
        next_look(&mut replay, &mut lbc, &wanted, NOT_FOUND).await?;
        return replay.finish(End::Cut, nothing_but(&cast, old)).await;
    }
    lbc.skip_retries(&mut replay, &wanted, NOT_FOUND, MENDED_AFTER, UNTIL_MENDED)
        .await?;
    let mended = [new.clone()];
    lbc.reconcile(&mended).await?;
    replay.wait(BREATH).await?;
    lbc.reconcile(&mended).await?;
    replay.finish(End::Flows, everything(&cast, new)).await
}

pub(super) async fn narrowed_range(setup: Setup) -> Result<Outcome> {
    let cast = cast(&setup, (80, 9000), ordinary())?;
    let (old, new) = (tcp(80, 9000, &cast.balancers), tcp(80, 80, &cast.balancers));
    let bad = tcp(9003, 9003, &setup.deleted_group()?);
    let (mut replay, mut lbc) = begin(setup, &cast, Order::RevokeFirst, 80)?;

    let wanted = [new, bad];
    refused(&mut replay, &mut lbc, &wanted, NOT_FOUND).await?;
    next_look(&mut replay, &mut lbc, &wanted, NOT_FOUND).await?;
    if replay.mode() == Mode::Without {
        return replay.finish(End::Cut, nothing_but(&cast, old)).await;
    }
    replay.finish(End::Flows, everything(&cast, old)).await
}

pub(super) async fn full_group(setup: Setup) -> Result<Outcome> {
    let others = (1..60).map(|number: u16| {
        let source = format!("10.1.{number}.0/24");
        (tcp(5432, 5432, &source), format!("team {number}"))
    });
    let cast = cast(&setup, (80, 9093), others.collect())?;
    let second = setup.group("k8s-traffic-2", &Described::new())?;
    let old = tcp(80, 9093, &cast.balancers);
    let wanted = [tcp(80, 9100, &cast.balancers), tcp(80, 9100, &second)];
    let (mut replay, mut lbc) = begin(setup, &cast, Order::AuthorizeFirst, 8080)?;

    refused(&mut replay, &mut lbc, &wanted, FULL).await?;
    next_look(&mut replay, &mut lbc, &wanted, FULL).await?;
    if replay.mode() == Mode::Without {
        return replay.finish(End::Cut, nothing_but(&cast, old)).await;
    }
    replay.finish(End::Flows, everything(&cast, old)).await
}
