//! Terraform destroys a group, and its role is accepted.

use std::slice;

use rulekeeper_bench::Result;

use super::Story;
use super::terraform_applies::GROUP_SOURCE;
use crate::controllers::terraform::{ACCEPT, DESCRIPTION, Terraform, User, client};
use crate::replay::{End, Expected, Outcome, Replay};
use crate::rules::{Described, Traffic, described, tcp};
use crate::setup::Setup;

pub(crate) const GROUP: Story = Story {
    name: "terraform-destroy",
    title: "Terraform, a destroyed group: its rules are revoked one by one, and then it is deleted",
    source: Some(("provider", GROUP_SOURCE)),
    text: "The group has revoke_rules_on_delete and five rules. Something still uses it, so EC2 refuses the first deletions, \
           and Terraform tries again. So many rules do not leave a record at once: until the group is gone they are pending, \
           closed and recorded. Then the group is orphaned, and nobody has to confirm anything. If the events come later, \
           the group is orphaned from the start.",
    policy: ACCEPT.1,
    replay: |setup| Box::pin(group(setup)),
};

pub(crate) const REFERENCED: Story = Story {
    name: "terraform-destroy-referenced",
    title: "Terraform, a destroyed group to which a kept rule refers",
    source: GROUP.source,
    text: "Terraform revokes the kept group's rule for a load balancer and deletes the load balancer's group. A rule of \
           another group still refers to it, so EC2 refuses with DependencyViolation until Terraform has revoked that one \
           too. The rule leaves the record and does not stand in the way of the deletion.",
    policy: ACCEPT.1,
    replay: |setup| Box::pin(referenced(setup)),
};

/// Starts with a group of Terraform's.
fn begin(setup: Setup, group: &str, traffic: Traffic) -> Result<(Replay, Terraform)> {
    let client = client(&setup.stack);
    let (replay, client) = Replay::begin(setup, group, client, &[ACCEPT], vec![traffic])?;
    let terraform = Terraform::new(&replay, client);
    Ok((replay, terraform))
}

async fn group(setup: Setup) -> Result<Outcome> {
    let rules = [
        tcp(443, 443, "10.0.0.0/8"),
        tcp(22, 22, "10.0.9.0/24"),
        tcp(5432, 5432, "10.3.0.0/16"),
        tcp(8080, 8080, "10.4.0.0/16"),
        tcp(9100, 9100, "10.20.0.0/16"),
    ];
    let group = setup.group("api", &described(&rules, DESCRIPTION))?;
    let user = User::of(&setup, &group)?;
    let traffic = Traffic::from_address(443, [10, 200, 0, 9]);
    let (mut replay, terraform) = begin(setup, &group, traffic)?;

    replay.wait_for_new_second().await?;
    terraform.destroy_group(&mut replay, &user).await?;

    let (live, gone) = (Vec::new(), rules.into());
    replay.finish(End::Decided, Expected { live, gone }).await
}

async fn referenced(setup: Setup) -> Result<Outcome> {
    let balancer = setup.group("balancer", &Described::new())?;
    let user = User::of(&setup, &balancer)?;
    let from_balancer = tcp(8443, 8443, &balancer);
    let kept = [
        tcp(22, 22, "10.0.9.0/24"),
        tcp(5432, 5432, "10.3.0.0/16"),
        tcp(9100, 9100, "10.20.0.0/16"),
    ];
    let rules = [slice::from_ref(&from_balancer), &kept].concat();
    let group = setup.group("api", &described(&rules, DESCRIPTION))?;
    let traffic = Traffic::from_group(8443, &balancer);
    let (mut replay, terraform) = begin(setup, &group, traffic)?;
    replay.expect_live_record();

    replay.wait_for_new_second().await?;
    terraform.destroy(&from_balancer).await?;
    terraform.delete(&mut replay, &balancer, &user).await?;

    let (live, gone) = (kept.into(), vec![from_balancer]);
    replay.finish(End::Decided, Expected { live, gone }).await
}
