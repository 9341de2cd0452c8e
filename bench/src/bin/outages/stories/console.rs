//! A person edits a rule in the console: the old one is deleted and a new one added, in either order.

use std::time::Duration;

use rulekeeper_bench::Result;
use rulekeeper_bench::client::Client;
use rulekeeper_local::Identity;

use super::Story;
use crate::group_client::GroupClient;
use crate::replay::{End, Expected, Outcome, Replay};
use crate::rules::{Described, Rule, Traffic, tcp};
use crate::setup::{Mode, Setup};

pub(crate) const NARROWS: Story = Story {
    name: "console",
    title: "Console edit: a narrower rule for a wider one, deleted first",
    source: None,
    text: "Somebody changes tcp 443 from 10.0.0.0/8 into tcp 443 from 10.1.0.0/16. The console deletes the old rule and adds \
           the new one (EC2 User Guide, 2023), and clients outside 10.1.0.0/16 are cut off. Nobody is listed: the old rule \
           comes back beside the new one, and whoever means the edit has to change the record.",
    policy: "not listed",
};

pub(crate) const WIDENS: Story = Story {
    name: "console-superseding",
    title: "Console edit: a wider rule for a narrower one, added first",
    source: None,
    text: "Somebody changes tcp 443 from 10.1.0.0/16 into tcp 443 from 10.0.0.0/8, and the new rule comes before the old one \
           goes. The new rule stands in for the old one, so rulekeeper has nothing to do.",
    policy: "not listed",
};

/// Long enough that whoever wanted to restore at once has done it.
const LOOK: Duration = Duration::from_secs(1);

fn one(rule: &Rule) -> Described {
    [(rule.clone(), "clients".to_owned())].into()
}

/// The person, and a group with the rule that is about to be edited.
fn begin(setup: Setup, old: &Rule) -> Result<(Replay, GroupClient)> {
    let group = setup.group("api", &one(old))?;
    let account = setup.stack.cloud().account();
    let role = "AWSReservedSSO_PlatformEngineer_0123456789abcdef";
    let identity = Identity::assumed_role(account, role, "alex@example.com");
    let client = Client::new(&setup.stack, identity);
    let needed = vec![Traffic::from_address(443, address(old))];
    Replay::begin(setup, &group, client, &[], needed)
}

/// An address that the old rule lets through; of the wide one, an address that the narrow one does not.
fn address(old: &Rule) -> [u8; 4] {
    if *old == wide() {
        [10, 200, 0, 9]
    } else {
        [10, 1, 0, 9]
    }
}

fn wide() -> Rule {
    tcp(443, 443, "10.0.0.0/8")
}

fn narrow() -> Rule {
    tcp(443, 443, "10.1.0.0/16")
}

pub(super) async fn narrows(setup: Setup) -> Result<Outcome> {
    let (mut replay, api) = begin(setup, &wide())?;
    replay.wait_for_new_second().await?;
    api.revoke(&one(&wide())).await?;
    api.authorize(&one(&narrow())).await?;
    replay.wait(LOOK).await?;
    if replay.mode() == Mode::Without {
        let expected = Expected {
            live: vec![narrow()],
            gone: vec![wide()],
        };
        return replay.finish(End::Cut, expected).await;
    }
    replay.wait_restored().await?;
    let expected = Expected {
        live: vec![wide(), narrow()],
        ..Expected::default()
    };
    replay.finish(End::Flows, expected).await
}

pub(super) async fn widens(setup: Setup) -> Result<Outcome> {
    let (mut replay, api) = begin(setup, &narrow())?;
    replay.wait_for_new_second().await?;
    api.authorize(&one(&wide())).await?;
    api.revoke(&one(&narrow())).await?;
    replay.wait(LOOK).await?;
    let expected = Expected {
        live: vec![wide()],
        gone: vec![narrow()],
    };
    replay.finish(End::Flows, expected).await
}
