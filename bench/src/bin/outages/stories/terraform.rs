//! Terraform with in-line rules revokes a rule that is not in its configuration.

use std::time::Duration;

use rulekeeper_bench::Result;

use super::Story;
use crate::controllers::terraform::{ACCEPT, client};
use crate::replay::{End, Expected, Outcome, Replay};
use crate::rules::{Described, Rule, Traffic, missing, tcp};
use crate::setup::{Principal, Setup};

pub(crate) const UNLISTED: Story = Story {
    name: "terraform",
    title: "Terraform revokes a rule that its in-line rules do not have",
    source: Some((
        "docs",
        "https://registry.terraform.io/providers/hashicorp/aws/latest/docs/resources/security_group",
    )),
    text: "A monitoring team added a rule to a group whose rules are in-line in a Terraform configuration. The next apply \
           revokes it, because a group with in-line rules may have no others. The record lists no principal, so rulekeeper \
           restores the rule.",
    policy: "not listed",
    replay: |setup| Box::pin(replay(setup, &[])),
};

pub(crate) const ACCEPTED: Story = Story {
    name: "terraform-accept",
    title: "The same, with Terraform's revokes accepted",
    source: UNLISTED.source,
    text: "The same apply, with policy accept for Terraform's role: the rule stays revoked, and rulekeeper removes it from the \
           record.",
    policy: "accept",
    replay: |setup| Box::pin(replay(setup, &[ACCEPT])),
};

/// Long enough for a restore that does not wait.
const OBSERVED: Duration = Duration::from_secs(1);

async fn replay(setup: Setup, principals: &[Principal]) -> Result<Outcome> {
    let configured: Described = [
        (tcp(443, 443, "10.0.0.0/8"), "clients".to_owned()),
        (tcp(22, 22, "10.0.9.0/24"), "bastion".to_owned()),
    ]
    .into();
    let unknown = tcp(9100, 9100, "10.20.0.0/16");
    let mut rules = configured.clone();
    rules.insert(unknown.clone(), "monitoring".to_owned());
    let group = setup.group("api", &rules)?;
    let client = client(&setup.stack);
    let traffic = vec![Traffic::from_address(9100, [10, 20, 1, 5])];
    let (mut replay, client) = Replay::begin(setup, &group, client, principals, traffic)?;

    replay.wait_for_new_second().await?;
    let live = client.read().await?;
    client.revoke(&missing(&live, &configured)).await?;
    if !missing(&configured, &live).is_empty() {
        return Err("a rule of the Terraform configuration is missing".into());
    }
    replay.wait(OBSERVED).await?;

    let mut live: Vec<Rule> = configured.into_keys().collect();
    if replay.has_rulekeeper() && principals.is_empty() {
        replay.wait_restored().await?;
        live.push(unknown);
        let gone = Vec::new();
        return replay.finish(End::Flows, Expected { live, gone }).await;
    }
    let end = match principals {
        [] => End::Cut,
        _ => {
            replay.expect_live_record();
            End::Decided
        }
    };
    let gone = vec![unknown];
    replay.finish(end, Expected { live, gone }).await
}
