//! Terraform with in-line rules revokes a rule that it does not know.

use std::time::Duration;

use rulekeeper_bench::Result;
use rulekeeper_bench::client::Client;
use rulekeeper_local::Identity;

use super::Story;
use crate::replay::{End, Expected, Outcome, Replay};
use crate::rules::{Described, Rule, Traffic, missing, tcp};
use crate::setup::{Mode, Principal, Setup};

pub(crate) const UNLISTED: Story = Story {
    name: "terraform",
    title: "Terraform revokes a rule that its in-line rules do not have",
    source: Some((
        "docs",
        "https://registry.terraform.io/providers/hashicorp/aws/latest/docs/resources/security_group",
    )),
    text: "A monitoring team added a rule to a group whose rules are written in-line in a Terraform configuration. The next \
           apply revokes it, because in-line rules are all that a group may have. The record lists nobody: a drop is a \
           drop.",
    policy: "not listed",
};

pub(crate) const ACCEPTED: Story = Story {
    name: "terraform-accept",
    title: "The same, with Terraform's revokes accepted",
    source: UNLISTED.source,
    text: "The same replay, where the record takes the changes of Terraform's role as decisions: the rule stays away and leaves \
           the record.",
    policy: "accept",
};

pub(super) const ACCEPT: Principal = (ROLE, "accept");

const ROLE: &str = "terraform";

/// Long enough that whoever wanted to restore at once has done it.
const LOOK: Duration = Duration::from_secs(1);

pub(super) async fn play(setup: Setup, principals: &[Principal]) -> Result<Outcome> {
    let configured: Described = [
        (tcp(443, 443, "10.0.0.0/8"), "clients".to_owned()),
        (tcp(22, 22, "10.0.9.0/24"), "bastion".to_owned()),
    ]
    .into();
    let unknown = tcp(9100, 9100, "10.20.0.0/16");
    let mut rules = configured.clone();
    rules.insert(unknown.clone(), "monitoring".to_owned());
    let group = setup.group("api", &rules)?;
    let identity = Identity::assumed_role(setup.stack.cloud().account(), ROLE, "apply-4711");
    let client = Client::new(&setup.stack, identity);
    let needed = vec![Traffic::from_address(9100, [10, 20, 1, 5])];
    let (mut replay, api) = Replay::begin(setup, &group, client, principals, needed)?;

    replay.wait_for_new_second().await?;
    let there = api.read().await?;
    api.revoke(&missing(&there, &configured)).await?;
    if !missing(&configured, &there).is_empty() {
        return Err("Terraform's own rules should be there".into());
    }
    replay.wait(LOOK).await?;

    let mut live: Vec<Rule> = configured.into_keys().collect();
    if replay.mode() != Mode::Without && principals.is_empty() {
        replay.wait_restored().await?;
        live.push(unknown);
        let gone = Vec::new();
        return replay.finish(End::Flows, Expected { live, gone }).await;
    }
    let end = match principals {
        [] => End::Cut,
        _ => End::Decided,
    };
    let gone = vec![unknown];
    replay.finish(end, Expected { live, gone }).await
}
