//! A controller with a stale cache revokes every rule of a group; the group that one of them names is gone.

use std::time::Duration;

use aws_sdk_ec2::types::SecurityGroupRule;

use super::{DESCRIPTION, Row, Show, refused};
use crate::permission::as_permission;
use rulekeeper_bench::Failure;
use rulekeeper_bench::screen::seconds;

const TITLE: &str = "2. Every rule is revoked, and one cannot come back";

/// The description of the rule that cannot come back.
const PEERED: &str = "reporting, in the peered VPC";

/// Who plays in it.
struct Cast {
    /// The group that a script keeps.
    scripted: String,
    /// The group that rulekeeper keeps.
    pinned: String,
    /// A group of a peered VPC: while one of the same VPC refers to it, EC2 would not let it go.
    reporting: String,
    /// How many rules each of the two has.
    count: usize,
}

pub(crate) async fn everything_is_revoked(show: Show<'_>) -> Result<Row, Failure> {
    let Show { screen, stage, .. } = show;
    let cast = set_up(show)?;
    screen.heading(TITLE)?;
    screen.paragraph(&format!(
        "A controller with a stale cache revokes all {} rules of a node group. (In aws-load-balancer-controller \
         #4889, August 2026, that kept a cluster dark for about 45 minutes.) One rule names a group in a peered VPC \
         that has been deleted since, and a batch with one bad rule is refused.",
        cast.count
    ))?;
    show.cast(&[
        (&cast.scripted, "eks-nodes-blue, without rulekeeper"),
        (&cast.pinned, "eks-nodes-green, with rulekeeper"),
        (&cast.reporting, "reporting, in the peered VPC"),
    ])?;

    screen
        .paragraph("While all is well, a script backs up one group, and we pin the other one:")?;
    let backup = stage.controller.ingress_rules(&cast.scripted).await?;
    let kept = stage.controller.ingress_rules(&cast.pinned).await?;
    stage.rulekeeper(screen, &["pin", &cast.pinned], 0)?;
    stage.ec2().delete_group(&cast.reporting)?;
    screen.paragraph(&format!("Then {} is deleted.", cast.reporting))?;

    let without = without(show, &cast, &backup).await?;
    let with = with(show, &cast, &kept).await?;
    Ok([TITLE.to_owned(), without, with])
}

fn set_up(show: Show<'_>) -> Result<Cast, Failure> {
    let (ec2, stage) = (show.stage.ec2(), show.stage);
    let peered_vpc = ec2.create_vpc("10.1.0.0/16")?;
    stage.stack.cloud().peer(&stage.vpc, &peered_vpc);
    let reporting = ec2.create_group("reporting", &peered_vpc)?;
    let list = ec2.create_prefix_list("monitoring", 5)?;
    let (load_balancers, control_plane) = (&stage.load_balancers, &stage.control_plane);
    let node_group = |name: &str| -> Result<String, Failure> {
        let group = ec2.create_group(name, &stage.vpc)?;
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
    let (scripted, pinned) = (
        node_group("eks-nodes-blue")?,
        node_group("eks-nodes-green")?,
    );
    Ok(Cast {
        count: ec2.rules(&pinned).len(),
        scripted,
        pinned,
        reporting,
    })
}

async fn without(
    show: Show<'_>,
    cast: &Cast,
    backup: &[SecurityGroupRule],
) -> Result<String, Failure> {
    let (controller, count) = (&show.stage.controller, cast.count);
    show.screen
        .subheading("without rulekeeper, but with a backup")?;
    let mut observer = show.observe(&cast.scripted)?;
    observer.say(
        "controller",
        format!("revokes all {count} rules in one call"),
    );
    controller.revoke_by_id(&cast.scripted, backup).await?;
    observer.say(
        "script",
        format!("authorizes all {count} rules in one call"),
    );
    let again = backup.iter().map(as_permission).collect();
    let refusal = refused(controller.authorize(&cast.scripted, again).await)?;
    let code = format!("is refused with {}:", refusal.code);
    observer.say_with("script", code, &[refusal.message]);
    observer
        .watch(Duration::from_millis(500), |_| false)
        .await?;
    let back = format!("{} of {count} rules back", observer.restored());
    observer.say("group", back.clone());
    observer.catch_up().await?;
    Ok(format!("{back}: EC2 refused the batch"))
}

async fn with(show: Show<'_>, cast: &Cast, kept: &[SecurityGroupRule]) -> Result<String, Failure> {
    let (controller, count) = (&show.stage.controller, cast.count);
    let lost = format!("tcp 5432 from {}", cast.reporting);
    show.screen.subheading("with rulekeeper")?;
    show.stage.deliver_events(true);
    let mut observer = show.observe(&cast.pinned)?;
    observer.say(
        "controller",
        format!("revokes all {count} rules in one call"),
    );
    controller.revoke_by_id(&cast.pinned, kept).await?;
    show.see_restored(&mut observer, count, &[&lost]).await?;
    show.stage.deliver_events(false);

    let reports = observer.reports().iter();
    let mut rules = reports
        .filter_map(|report| report["rules"].as_array())
        .flatten();
    let told = rules.any(|rule| {
        rule["rule"] == *lost
            && rule["outcome"] == "failed"
            && rule["error_code"] == "InvalidGroup.NotFound"
    });
    if !told {
        return Err(format!("no report says why {lost} is missing").into());
    }
    let live = controller.ingress_rules(&cast.pinned).await?;
    let live: Vec<_> = live.iter().map(as_permission).collect();
    let mut kept = kept
        .iter()
        .filter(|rule| rule.description.as_deref() != Some(PEERED));
    if let Some(changed) = kept.find(|rule| !live.contains(&as_permission(rule))) {
        return Err(format!("a rule is not back as it was: {changed:?}").into());
    }

    let back = format!("{} of {count} rules back", observer.restored());
    let cut = seconds(observer.cut());
    show.screen.paragraph(&format!(
        "{back}, with their descriptions; traffic was cut for {cut}. The other one stays in the record, and is \
         reported, until somebody takes it out."
    ))?;
    Ok(format!(
        "{back}; traffic cut for {cut}; the other one reported, with EC2's reason"
    ))
}
