//! A controller with a stale cache revokes every rule of a group; the group that one rule refers to is deleted.

use std::time::Duration;

use aws_sdk_ec2::types::SecurityGroupRule;
use rulekeeper_bench::Result;
use rulekeeper_bench::journal::is_function;
use rulekeeper_bench::time::seconds;
use serde_json::json;

use super::{DESCRIPTION, Row, refused};
use crate::backup::as_permission;
use crate::setup::Setup;

const TITLE: &str = "2. Every rule is revoked, and one cannot come back";

/// The description of the rule that cannot come back.
const PEERED: &str = "reporting, in the peered VPC";

/// The groups of the story.
struct Groups {
    /// A script has a backup of this one.
    scripted: String,
    /// rulekeeper keeps this one.
    pinned: String,
    /// A group of a peered VPC: EC2 does not delete a group that another group of its VPC refers to.
    reporting: String,
    /// How many rules each of the first two has.
    count: usize,
}

pub(crate) async fn everything_is_revoked(setup: &Setup) -> Result<Row> {
    let groups = create_groups(setup)?;
    setup.screen.heading(TITLE)?;
    setup.screen.paragraph(&format!(
        "A controller with a stale cache revokes all {} rules of a node group. (In aws-load-balancer-controller \
         #4889, August 2026, that cut a cluster off for about 45 minutes.) One rule refers to a group in a peered VPC \
         that has been deleted since, and EC2 refuses a call with one bad rule.",
        groups.count
    ))?;
    setup.list_groups(&[
        (&groups.scripted, "eks-nodes-blue, without rulekeeper"),
        (&groups.pinned, "eks-nodes-green, with rulekeeper"),
        (&groups.reporting, "reporting, in the peered VPC"),
    ])?;

    setup
        .screen
        .paragraph("Before that, a script backs up one group, and we pin the other one:")?;
    let backup = setup.controller.ingress_rules(&groups.scripted).await?;
    let pinned = setup.controller.ingress_rules(&groups.pinned).await?;
    setup.rulekeeper(&["pin", &groups.pinned], 0)?;
    setup.ec2().delete_group(&groups.reporting)?;
    setup
        .screen
        .paragraph(&format!("Then {} is deleted.", groups.reporting))?;
    setup
        .screen
        .paragraph("rulekeeper says before any outage that a rule could not come back, in its sweeps and when asked:")?;
    let swept = json!({"sweep": {}});
    let swept = setup.stack.lambda().invoke(swept).await.payload;
    if swept["remarks"][0]["unrestorable"].is_null() {
        return Err(format!("a sweep does not say what could not come back: {swept}").into());
    }
    setup.rulekeeper(&["check", &groups.pinned], 3)?;

    let without = without(setup, &groups, &backup).await?;
    let with = with(setup, &groups, &pinned).await?;
    Ok([TITLE.to_owned(), without, with])
}

fn create_groups(setup: &Setup) -> Result<Groups> {
    let ec2 = setup.ec2();
    let peered_vpc = ec2.create_vpc("10.1.0.0/16")?;
    setup.stack.cloud().peer(&setup.vpc, &peered_vpc);
    let reporting = ec2.create_group("reporting", &peered_vpc)?;
    let list = ec2.create_prefix_list("monitoring", 5)?;
    let (load_balancers, control_plane) = (&setup.load_balancers, &setup.control_plane);
    let node_group = |name: &str| -> Result<String> {
        let group = ec2.create_group(name, &setup.vpc)?;
        for (rule, description) in [
            (format!("tcp 80-9093 from {load_balancers}"), DESCRIPTION),
            (format!("tcp 10250 from {control_plane}"), "kubelet"),
            (format!("tcp 9443 from {control_plane}"), "webhooks"),
            (format!("all from {group}"), "among nodes"),
            ("tcp 443 from 10.0.0.0/8".to_owned(), "office"),
            ("tcp 443 from 2001:db8:1234::/48".to_owned(), "office, IPv6"),
            ("udp 53 from 10.0.0.0/16".to_owned(), "cluster DNS"),
            ("icmp 8/-1 from 10.0.0.0/8".to_owned(), "ping"),
            (format!("tcp 9100 from {list}"), "monitoring"),
            (format!("tcp 5432 from {reporting}"), PEERED),
        ] {
            ec2.authorize_described(&group, &rule, description, &[])?;
        }
        Ok(group)
    };
    let scripted = node_group("eks-nodes-blue")?;
    let pinned = node_group("eks-nodes-green")?;
    Ok(Groups {
        count: ec2.rules(&pinned).len(),
        scripted,
        pinned,
        reporting,
    })
}

async fn without(setup: &Setup, groups: &Groups, backup: &[SecurityGroupRule]) -> Result<String> {
    let (group, count) = (&groups.scripted, groups.count);
    setup
        .screen
        .subheading("without rulekeeper, but with a backup")?;
    let mut observer = setup.observe(group)?;
    observer.say(
        "controller",
        format!("revokes all {count} rules in one call"),
    );
    setup.controller.revoke_by_id(group, backup).await?;
    observer.say(
        "script",
        format!("authorizes all {count} rules in one call"),
    );
    let again = backup.iter().map(as_permission).collect();
    let error = refused(setup.controller.authorize(group, again).await)?;
    let code = format!("is refused with {}:", error.code);
    observer.say_with("script", code, &[error.message]);
    observer
        .watch(Duration::from_millis(500), |_| false)
        .await?;
    let back = format!("{} of {count} rules back", observer.restored());
    observer.say("group", back.clone());
    observer.catch_up().await?;
    Ok(format!("{back}: EC2 refused the call"))
}

async fn with(setup: &Setup, groups: &Groups, pinned: &[SecurityGroupRule]) -> Result<String> {
    let (group, count) = (&groups.pinned, groups.count);
    let lost = format!("tcp 5432 from {}", groups.reporting);
    setup.screen.subheading("with rulekeeper")?;
    setup.stack.cloud().clear_calls();
    setup.deliver_events(true);
    let mut observer = setup.observe(group)?;
    observer.say(
        "controller",
        format!("revokes all {count} rules in one call"),
    );
    setup.controller.revoke_by_id(group, pinned).await?;
    setup.wait_restored(&mut observer, count, &[&lost]).await?;
    setup.deliver_events(false);

    let reports = observer.reports().iter();
    let rules = reports.filter_map(|report| report["rules"].as_array());
    let reported = rules.flatten().any(|rule| {
        rule["rule"] == *lost
            && rule["outcome"] == "failed"
            && rule["error_code"] == "InvalidGroup.NotFound"
    });
    if !reported {
        return Err(format!("no report says why {lost} is missing").into());
    }
    let authorizes = setup.stack.cloud().calls().into_iter();
    let mut authorizes = authorizes.filter(|call| {
        call.action == "AuthorizeSecurityGroupIngress" && is_function(&call.principal)
    });
    let first = authorizes.next().and_then(|call| call.outcome);
    if first.as_deref() != Some("Success") {
        return Err(format!("the first authorize ended with {first:?}").into());
    }
    let live = setup.controller.ingress_rules(group).await?;
    let live: Vec<_> = live.iter().map(as_permission).collect();
    let mut expected = pinned
        .iter()
        .filter(|rule| rule.description.as_deref() != Some(PEERED));
    if let Some(changed) = expected.find(|rule| !live.contains(&as_permission(rule))) {
        return Err(format!("a rule is not back as it was: {changed:?}").into());
    }

    let back = format!("{} of {count} rules back", observer.restored());
    let cut = seconds(observer.cut());
    setup.screen.paragraph(&format!(
        "{back}, with their descriptions; traffic was cut for {cut}. The sweep had seen that the other rule could not \
         come back, so the first authorize left it out and was not refused. It stays in the record and is reported until \
         somebody removes it from the record."
    ))?;
    Ok(format!(
        "{back}; traffic cut for {cut}; the other rule reported, with EC2's reason"
    ))
}
