//! A controller replaces a rule by a wider one; the authorize is refused because it refers to a deleted group.

use std::time::Duration;

use aws_sdk_ec2::types::SecurityGroupRule;
use rulekeeper_bench::Result;
use rulekeeper_bench::client::tcp;
use rulekeeper_bench::time::seconds;

use super::{DESCRIPTION, Row, refused};
use crate::backup::as_permission;
use crate::observer::Observer;
use crate::setup::Setup;

const TITLE: &str = "1. The replacement of a rule is refused";
const TAG: (&str, &str) = ("owner", "platform-team");

/// The groups of the story, and the rule to replace.
struct Groups<'a> {
    nodes: String,
    load_balancers: &'a str,
    deleted: String,
    rule: String,
}

pub(crate) async fn replacement_is_refused(setup: &Setup) -> Result<Row> {
    let groups = create_groups(setup)?;
    setup.screen.heading(TITLE)?;
    setup.screen.paragraph(
        "A load balancer controller widens its rule on the nodes of a cluster. The same call asks for a rule from a \
         group that was deleted, and is refused as a whole (aws-load-balancer-controller #3809).",
    )?;
    setup.list_groups(&[
        (&groups.nodes, "eks-nodes, with 3 rules"),
        (
            groups.load_balancers,
            "k8s-traffic-demo, of all load balancers",
        ),
        (&setup.control_plane, "eks-control-plane"),
        (&groups.deleted, "old-load-balancer, deleted"),
    ])?;
    let without = without(setup, &groups).await?;
    let with = with(setup, &groups).await?;
    Ok([TITLE.to_owned(), without, with])
}

fn create_groups(setup: &Setup) -> Result<Groups<'_>> {
    let ec2 = setup.ec2();
    let nodes = ec2.create_group("eks-nodes", &setup.vpc)?;
    let deleted = ec2.create_group("old-load-balancer", &setup.vpc)?;
    ec2.delete_group(&deleted)?;
    let kubelet = format!("tcp 10250 from {}", setup.control_plane);
    ec2.authorize_described(&nodes, &kubelet, "kubelet", &[])?;
    ec2.authorize_described(&nodes, &format!("all from {nodes}"), "among nodes", &[])?;
    let load_balancers = &setup.load_balancers;
    let rule = format!("tcp 80-9093 from {load_balancers}");
    ec2.authorize_described(&nodes, &rule, DESCRIPTION, &[TAG])?;
    Ok(Groups {
        nodes,
        load_balancers,
        deleted,
        rule,
    })
}

async fn without(setup: &Setup, groups: &Groups<'_>) -> Result<String> {
    setup.screen.subheading("without rulekeeper")?;
    let observed_for = setup.delay + Duration::from_secs(3);
    let mut observer = setup.observe(&groups.nodes)?;
    replace(setup, &mut observer, groups).await?;
    let restored = |seen: &Observer<'_>| seen.restored() > 0;
    if observer.watch(observed_for, restored).await? {
        return Err("the rule came back without rulekeeper".into());
    }
    observer.say("group", format!("{}: missing", groups.rule));
    observer.catch_up().await?;
    drop(observer);
    setup.screen.paragraph(
        "The rule stays missing until somebody notices. We put it back by hand, for the second part.",
    )?;
    let ec2 = setup.ec2();
    ec2.authorize_described(&groups.nodes, &groups.rule, DESCRIPTION, &[TAG])?;
    Ok(format!(
        "missing when we stop looking, after {}",
        seconds(observed_for)
    ))
}

async fn with(setup: &Setup, groups: &Groups<'_>) -> Result<String> {
    setup.screen.subheading("with rulekeeper")?;
    setup.rulekeeper(&["pin", &groups.nodes], 0)?;
    let before = shared_rule(setup, groups).await?;
    setup.deliver_events(true);
    let mut observer = setup.observe(&groups.nodes)?;
    replace(setup, &mut observer, groups).await?;
    // The CLI has time to run before the event arrives.
    if setup.delay >= Duration::from_secs(1) {
        observer.catch_up().await?;
        setup.rulekeeper(&["plan", &groups.nodes], 3)?;
    }
    setup.wait_restored(&mut observer, 1, &[]).await?;
    let cut = seconds(observer.cut());
    drop(observer);
    setup.deliver_events(false);

    let after = shared_rule(setup, groups).await?;
    if (as_permission(&before), &before.tags) != (as_permission(&after), &after.tags) {
        return Err(format!("the rule is not as it was: {after:?}").into());
    }
    setup.screen.paragraph(&format!(
        "Traffic was cut for {cut}. The rule is back as {}, with the description {DESCRIPTION:?}, by which the \
         controller knows it, and the tag {}={}.",
        after.security_group_rule_id.unwrap_or_default(),
        TAG.0,
        TAG.1
    ))?;
    Ok(format!("back; traffic cut for {cut}"))
}

/// Revokes the rule and asks for two others, as a controller has to: EC2 has no call that does both.
async fn replace(setup: &Setup, observer: &mut Observer<'_>, groups: &Groups<'_>) -> Result<()> {
    let old = tcp(80, 9093, groups.load_balancers, DESCRIPTION);
    observer.say("controller", format!("revokes {}", groups.rule));
    setup.controller.revoke(&groups.nodes, vec![old]).await?;
    observer.say_with(
        "controller",
        "authorizes, in one call".to_owned(),
        &[
            format!("tcp 80-9100 from {}", groups.load_balancers),
            format!("tcp 9443 from {}", groups.deleted),
        ],
    );
    let new = vec![
        tcp(80, 9100, groups.load_balancers, DESCRIPTION),
        tcp(9443, 9443, &groups.deleted, DESCRIPTION),
    ];
    let error = refused(setup.controller.authorize(&groups.nodes, new).await)?;
    let code = format!("is refused with {}:", error.code);
    observer.say_with("controller", code, &[error.message]);
    Ok(())
}

/// The load balancers' rule as EC2 describes it.
async fn shared_rule(setup: &Setup, groups: &Groups<'_>) -> Result<SecurityGroupRule> {
    let rules = setup.controller.ingress_rules(&groups.nodes).await?;
    let shared = |rule: &SecurityGroupRule| rule.description.as_deref() == Some(DESCRIPTION);
    let rule = rules.into_iter().find(shared);
    rule.ok_or_else(|| format!("no rule has the description {DESCRIPTION:?}").into())
}
