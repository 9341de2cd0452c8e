//! A person edits a rule in the console: the old rule is deleted and the new one added, in either order.

use std::time::Duration;

use rulekeeper_bench::Result;
use rulekeeper_bench::client::Client;
use rulekeeper_local::Identity;

use super::Story;
use crate::group_client::GroupClient;
use crate::replay::{End, Expected, Outcome, Replay};
use crate::rules::{Described, Rule, Traffic, described, tcp};
use crate::setup::Setup;

pub(crate) const NARROWS: Story = Story {
    name: "console",
    title: "Console edit: a narrower rule for a wider one, deleted first",
    source: None,
    text: "A person changes tcp 443 from 10.0.0.0/8 into tcp 443 from 10.1.0.0/16. The console deletes the old rule and adds \
           the new one (EC2 User Guide, 2023), and clients outside 10.1.0.0/16 are cut off. The record lists no principal: \
           the old rule comes back beside the new one, and to make the edit last, the person has to change the record.",
    policy: "not listed",
    replay: |setup| Box::pin(narrow_rule(setup)),
};

pub(crate) const WIDENS: Story = Story {
    name: "console-superseding",
    title: "Console edit: a wider rule for a narrower one, added first",
    source: None,
    text: "A person changes tcp 443 from 10.1.0.0/16 into tcp 443 from 10.0.0.0/8, and adds the new rule before deleting the \
           old one. The new rule covers the old one, so rulekeeper has nothing to do.",
    policy: "not listed",
    replay: |setup| Box::pin(widen_rule(setup)),
};

/// Long enough for a restore that does not wait.
const OBSERVED: Duration = Duration::from_secs(1);

fn wide() -> Rule {
    tcp(443, 443, "10.0.0.0/8")
}

fn narrow() -> Rule {
    tcp(443, 443, "10.1.0.0/16")
}

fn one(rule: Rule) -> Described {
    described(&[rule], "clients")
}

/// A group with the rule to edit, and the person's client. The address passes the old rule.
fn begin(setup: Setup, old: Rule, address: [u8; 4]) -> Result<(Replay, GroupClient)> {
    let group = setup.group("api", &one(old))?;
    let account = setup.stack.cloud().account();
    let role = "AWSReservedSSO_PlatformEngineer_0123456789abcdef";
    let person = Identity::assumed_role(account, role, "alex@example.com");
    let client = Client::new(&setup.stack, person);
    let traffic = vec![Traffic::from_address(443, address)];
    Replay::begin(setup, &group, client, &[], traffic)
}

async fn narrow_rule(setup: Setup) -> Result<Outcome> {
    let (mut replay, client) = begin(setup, wide(), [10, 200, 0, 9])?;
    replay.wait_for_new_second().await?;
    client.revoke(&one(wide())).await?;
    client.authorize(&one(narrow())).await?;
    replay.wait(OBSERVED).await?;
    let (mut live, mut gone) = (vec![narrow()], vec![wide()]);
    if !replay.has_rulekeeper() {
        return replay.finish(End::Cut, Expected { live, gone }).await;
    }
    replay.wait_restored().await?;
    live.append(&mut gone);
    replay.finish(End::Flows, Expected { live, gone }).await
}

async fn widen_rule(setup: Setup) -> Result<Outcome> {
    let (mut replay, client) = begin(setup, narrow(), [10, 1, 0, 9])?;
    replay.wait_for_new_second().await?;
    client.authorize(&one(wide())).await?;
    client.revoke(&one(narrow())).await?;
    replay.wait(OBSERVED).await?;
    let (live, gone) = (vec![wide()], vec![narrow()]);
    replay.finish(End::Flows, Expected { live, gone }).await
}
