//! Terraform changes the rules of a group, and its role is accepted.

use rulekeeper_bench::Result;
use rulekeeper_bench::client::ApiError;

use super::Story;
use crate::controllers::terraform::{ACCEPT, DESCRIPTION, Terraform, client};
use crate::replay::{End, Expected, Outcome, Replay};
use crate::rules::{Described, Rule, Traffic, described, tcp};
use crate::setup::Setup;

pub(crate) const INLINE: Story = Story {
    name: "terraform-inline",
    title: "Terraform, in-line rules: one is added, one narrowed, one gets another range",
    source: Some(("provider", GROUP_SOURCE)),
    text: "Three applies, one right after the other. The first adds a rule. The second narrows tcp 443 from 10.0.0.0/8 to \
           10.1.0.0/16: it revokes the old rule and authorizes the new one. The third replaces the bastion's range in the \
           same way. What Terraform closes stays closed, and the record holds what is live.",
    policy: ACCEPT.1,
    replay: |setup| Box::pin(inline(setup)),
};

pub(crate) const RESOURCES: Story = Story {
    name: "terraform-rules",
    title: "Terraform, a resource for each rule: two are destroyed, two narrowed, one created",
    source: Some(("provider", RULE_SOURCE)),
    text: "One apply changes five of eight rules in parallel, each with calls of its own. Two are revoked by id, one is \
           modified in place, one is revoked and authorized anew (the older resource aws_security_group_rule), and one is \
           authorized. What Terraform closes stays closed, and the record holds what is live.",
    policy: ACCEPT.1,
    replay: |setup| Box::pin(resources(setup)),
};

pub(crate) const BAD_REFERENCE: Story = Story {
    name: "terraform-reference",
    title: "Terraform, a failed apply: in-line rules, and a new one refers to a group that does not exist",
    source: INLINE.source,
    text: "The apply replaces tcp 443 from 10.0.0.0/8 by a narrower range and a group. It revokes the old rule. EC2 refuses \
           the new ones because the group has just been deleted, and the apply ends with that error. Nobody tries again. \
           Half of a change is no decision: rulekeeper restores the old rule.",
    policy: ACCEPT.1,
    replay: |setup| Box::pin(bad_reference(setup)),
};

pub(crate) const FULL_GROUP: Story = Story {
    name: "terraform-quota",
    title: "Terraform, a failed apply: in-line rules, and the group is full",
    source: INLINE.source,
    text: "The group has 60 rules. The apply replaces one of them by two. It revokes the old rule, EC2 refuses the two because \
           there is room for one, and the apply ends with that error. rulekeeper restores the old rule.",
    policy: ACCEPT.1,
    replay: |setup| Box::pin(full_group(setup)),
};

pub(super) const GROUP_SOURCE: &str = "https://github.com/hashicorp/terraform-provider-aws/blob/main/internal/service/ec2/vpc_security_group.go";
const RULE_SOURCE: &str = "https://github.com/hashicorp/terraform-provider-aws/blob/main/internal/service/ec2/vpc_security_group_ingress_rule.go";

/// The rule that most stories change.
fn wide() -> Rule {
    tcp(443, 443, "10.0.0.0/8")
}

fn narrow() -> Rule {
    tcp(443, 443, "10.1.0.0/16")
}

/// Traffic that passes the wide rule and not the narrow one.
fn outside() -> Traffic {
    Traffic::from_address(443, [10, 200, 0, 9])
}

/// A group with Terraform's rules.
fn begin(setup: Setup, rules: &[Rule], traffic: Vec<Traffic>) -> Result<(Replay, Terraform)> {
    let group = setup.group("api", &described(rules, DESCRIPTION))?;
    let client = client(&setup.stack);
    let (mut replay, client) = Replay::begin(setup, &group, client, &[ACCEPT], traffic)?;
    replay.expect_live_record();
    let terraform = Terraform::new(&replay, client);
    Ok((replay, terraform))
}

/// A configuration in which a rule takes the place of another.
fn replaced(rules: &mut Described, old: &Rule, new: &Rule) {
    rules.remove(old);
    rules.insert(new.clone(), DESCRIPTION.to_owned());
}

async fn inline(setup: Setup) -> Result<Outcome> {
    let bastion = tcp(22, 22, "10.0.9.0/24");
    let new_bastion = tcp(22, 22, "10.0.10.0/24");
    let database = tcp(5432, 5432, "10.3.0.0/16");
    let added = tcp(8443, 8443, "10.0.0.0/8");
    let rules = [wide(), bastion.clone(), database.clone()];
    let traffic = vec![outside(), Traffic::from_address(22, [10, 0, 9, 7])];
    let (mut replay, terraform) = begin(setup, &rules, traffic)?;

    replay.wait_for_new_second().await?;
    let mut wanted = described(&rules, DESCRIPTION);
    wanted.insert(added.clone(), DESCRIPTION.to_owned());
    terraform.apply_inline(&wanted).await?;
    replaced(&mut wanted, &wide(), &narrow());
    terraform.apply_inline(&wanted).await?;
    replaced(&mut wanted, &bastion, &new_bastion);
    terraform.apply_inline(&wanted).await?;

    let live = vec![added, narrow(), new_bastion, database];
    let gone = vec![wide(), bastion];
    replay.finish(End::Decided, Expected { live, gone }).await
}

async fn resources(setup: Setup) -> Result<Outcome> {
    let monitoring = tcp(9100, 9100, "10.20.0.0/16");
    let cache = tcp(6379, 6379, "10.5.0.0/16");
    let (admin, narrow_admin) = (
        tcp(8080, 8080, "10.6.0.0/16"),
        tcp(8080, 8080, "10.6.1.0/24"),
    );
    let added = tcp(8443, 8443, "10.0.0.0/8");
    let kept = [
        tcp(22, 22, "10.0.9.0/24"),
        tcp(5432, 5432, "10.3.0.0/16"),
        tcp(9090, 9090, "10.20.0.0/16"),
        tcp(9093, 9093, "10.20.0.0/16"),
    ];
    let changed = [wide(), monitoring.clone(), cache.clone(), admin.clone()];
    let traffic = vec![outside(), Traffic::from_address(9100, [10, 20, 1, 5])];
    let rules = [changed.as_slice(), &kept].concat();
    let (mut replay, terraform) = begin(setup, &rules, traffic)?;

    replay.wait_for_new_second().await?;
    let narrowed = narrow();
    let old = wide();
    tokio::try_join!(
        terraform.destroy(&monitoring),
        terraform.destroy(&cache),
        terraform.modify(&old, &narrowed),
        terraform.replace(&admin, &narrow_admin),
        terraform.create(&added),
    )?;

    let live = [kept.as_slice(), &[narrowed, narrow_admin, added]].concat();
    let gone = changed.into();
    replay.finish(End::Decided, Expected { live, gone }).await
}

async fn bad_reference(setup: Setup) -> Result<Outcome> {
    let deleted = setup.deleted_group()?;
    let wanted = [narrow(), tcp(443, 443, &deleted)];
    let others = [
        tcp(22, 22, "10.0.9.0/24"),
        tcp(5432, 5432, "10.3.0.0/16"),
        tcp(8080, 8080, "10.4.0.0/16"),
    ];
    failed_apply(setup, &others, &wanted, "InvalidGroup.NotFound").await
}

async fn full_group(setup: Setup) -> Result<Outcome> {
    let others: Vec<Rule> = (0..59)
        .map(|number| tcp(5432, 5432, &format!("10.100.{number}.0/24")))
        .collect();
    let wanted = [narrow(), tcp(443, 443, "10.2.0.0/16")];
    failed_apply(
        setup,
        &others,
        &wanted,
        "RulesPerSecurityGroupLimitExceeded",
    )
    .await
}

/// An apply that revokes the wide rule and then fails.
async fn failed_apply(
    setup: Setup,
    others: &[Rule],
    wanted: &[Rule],
    code: &str,
) -> Result<Outcome> {
    let rules = [&[wide()], others].concat();
    let (mut replay, terraform) = begin(setup, &rules, vec![outside()])?;

    replay.wait_for_new_second().await?;
    let wanted = described(&[others, wanted].concat(), DESCRIPTION);
    refused(terraform.apply_inline(&wanted).await, code)?;

    if !replay.has_rulekeeper() {
        let (live, gone) = (others.to_vec(), vec![wide()]);
        return replay.finish(End::Cut, Expected { live, gone }).await;
    }
    replay.wait_restored().await?;
    let (live, gone) = (rules, Vec::new());
    replay.finish(End::Flows, Expected { live, gone }).await
}

fn refused(result: Result<(), ApiError>, code: &str) -> Result<()> {
    match result {
        Err(error) if error.code == code => Ok(()),
        Err(other) => Err(other.into()),
        Ok(()) => Err(format!("EC2 did not refuse with {code}").into()),
    }
}
