//! A controller replaces a rule by a wider one; the authorize is refused because of a reference to a group that is gone.

use std::time::Duration;

use aws_sdk_ec2::types::SecurityGroupRule;

use super::{DESCRIPTION, Row, Show, refused};
use crate::observer::Observer;
use crate::permission::as_permission;
use rulekeeper_bench::Failure;
use rulekeeper_bench::client::tcp;
use rulekeeper_bench::screen::seconds;

const TITLE: &str = "1. The replacement of a rule is refused";
const TAG: (&str, &str) = ("owner", "platform-team");

/// Who plays in it.
struct Cast<'a> {
    nodes: String,
    load_balancers: &'a str,
    gone: String,
    /// The rule that is to be replaced.
    rule: String,
}

pub(crate) async fn replacement_is_refused(show: Show<'_>) -> Result<Row, Failure> {
    let cast = set_up(show)?;
    show.screen.heading(TITLE)?;
    show.screen.paragraph(
        "A load balancer controller widens its rule on the nodes of a cluster. The same call asks for a rule from a \
         group that was deleted, and is refused as a whole (aws-load-balancer-controller #3809).",
    )?;
    show.cast(&[
        (&cast.nodes, "eks-nodes, with 3 rules"),
        (
            cast.load_balancers,
            "k8s-traffic-demo, of all load balancers",
        ),
        (&show.stage.control_plane, "eks-control-plane"),
        (&cast.gone, "old-load-balancer, deleted"),
    ])?;
    let without = without(show, &cast).await?;
    let with = with(show, &cast).await?;
    Ok([TITLE.to_owned(), without, with])
}

fn set_up(show: Show<'_>) -> Result<Cast<'_>, Failure> {
    let (ec2, vpc) = (show.stage.ec2(), &show.stage.vpc);
    let nodes = ec2.create_group("eks-nodes", vpc)?;
    let gone = ec2.create_group("old-load-balancer", vpc)?;
    ec2.delete_group(&gone)?;
    let kubelet = format!("tcp 10250 from {}", show.stage.control_plane);
    ec2.authorize_described(&nodes, &kubelet, "kubelet", &[])?;
    ec2.authorize_described(&nodes, &format!("all from {nodes}"), "among nodes", &[])?;
    let load_balancers = &show.stage.load_balancers;
    let rule = format!("tcp 80-9093 from {load_balancers}");
    ec2.authorize_described(&nodes, &rule, DESCRIPTION, &[TAG])?;
    Ok(Cast {
        nodes,
        load_balancers,
        gone,
        rule,
    })
}

async fn without(show: Show<'_>, cast: &Cast<'_>) -> Result<String, Failure> {
    show.screen.subheading("without rulekeeper")?;
    let watched_for = show.delay + Duration::from_secs(3);
    let mut observer = show.observe(&cast.nodes)?;
    replace(show, &mut observer, cast).await?;
    if observer
        .watch(watched_for, |seen| seen.restored() > 0)
        .await?
    {
        return Err("nobody should have restored the rule".into());
    }
    observer.say("group", format!("{}: missing", cast.rule));
    observer.catch_up().await?;
    drop(observer);
    show.screen.paragraph(
        "So it stays until somebody notices. We do now, and put the rule back by hand.",
    )?;
    let ec2 = show.stage.ec2();
    ec2.authorize_described(&cast.nodes, &cast.rule, DESCRIPTION, &[TAG])?;
    Ok(format!(
        "missing when we stop looking, after {}",
        seconds(watched_for)
    ))
}

async fn with(show: Show<'_>, cast: &Cast<'_>) -> Result<String, Failure> {
    let Show { screen, stage, .. } = show;
    screen.subheading("with rulekeeper")?;
    stage.rulekeeper(screen, &["pin", &cast.nodes], 0)?;
    let before = the_rule(show, cast).await?;
    stage.deliver_events(true);
    let mut observer = show.observe(&cast.nodes)?;
    replace(show, &mut observer, cast).await?;
    // There is time for it while the event is on its way.
    if show.delay >= Duration::from_secs(1) {
        observer.catch_up().await?;
        stage.rulekeeper(screen, &["plan", &cast.nodes], 3)?;
    }
    show.see_restored(&mut observer, 1, &[]).await?;
    let cut = seconds(observer.cut());
    drop(observer);
    stage.deliver_events(false);

    let after = the_rule(show, cast).await?;
    if (as_permission(&before), &before.tags) != (as_permission(&after), &after.tags) {
        return Err(format!("the rule is not as it was: {after:?}").into());
    }
    screen.paragraph(&format!(
        "Traffic was cut for {cut}. The rule is back as {}, with the description {DESCRIPTION:?}, by which the \
         controller knows it, and the tag {}={}.",
        after.security_group_rule_id.unwrap_or_default(),
        TAG.0,
        TAG.1
    ))?;
    Ok(format!("back; traffic cut for {cut}"))
}

/// RevokeSecurityGroupIngress, AuthorizeSecurityGroupIngress: there is no one call for both.
async fn replace(
    show: Show<'_>,
    observer: &mut Observer<'_>,
    cast: &Cast<'_>,
) -> Result<(), Failure> {
    let controller = &show.stage.controller;
    let old = tcp(80, 9093, cast.load_balancers, DESCRIPTION);
    observer.say("controller", format!("revokes {}", cast.rule));
    controller.revoke(&cast.nodes, vec![old]).await?;
    observer.say_with(
        "controller",
        "authorizes, in one call".to_owned(),
        &[
            format!("tcp 80-9100 from {}", cast.load_balancers),
            format!("tcp 9443 from {}", cast.gone),
        ],
    );
    let new = vec![
        tcp(80, 9100, cast.load_balancers, DESCRIPTION),
        tcp(9443, 9443, &cast.gone, DESCRIPTION),
    ];
    let refusal = refused(controller.authorize(&cast.nodes, new).await)?;
    let code = format!("is refused with {}:", refusal.code);
    observer.say_with("controller", code, &[refusal.message]);
    Ok(())
}

/// The load balancers' rule as EC2 shows it.
async fn the_rule(show: Show<'_>, cast: &Cast<'_>) -> Result<SecurityGroupRule, Failure> {
    let rules = show.stage.controller.ingress_rules(&cast.nodes).await?;
    let theirs = |rule: &SecurityGroupRule| rule.description.as_deref() == Some(DESCRIPTION);
    let rule = rules.into_iter().find(theirs);
    rule.ok_or_else(|| format!("no rule has the description {DESCRIPTION:?}").into())
}
