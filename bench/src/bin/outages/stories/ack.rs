//! ACK's EC2 controller makes rules anew after an upgrade, and is throttled in between.

use std::time::Duration;

use rulekeeper_bench::Result;
use rulekeeper_bench::client::Client;
use rulekeeper_bench::time::now;
use rulekeeper_local::{Bucket, Fault};

use super::Story;
use crate::controllers::ack::{AckController, ROLE, THROTTLED};
use crate::replay::{End, Expected, Outcome, Replay};
use crate::rules::{Described, Rule, Traffic, tcp};
use crate::setup::{Mode, Setup};

pub(crate) const STORY: Story = Story {
    name: "ack-2951",
    title: "ACK: rules are made anew, and EC2 throttles in between",
    source: Some((
        "ACK #2951",
        "https://github.com/aws-controllers-k8s/community/issues/2951",
    )),
    text: "After an upgrade the controller revokes the rules of many groups and authorizes them anew; EC2 throttles, the \
           SDK's retries are used up, and the report has health probes fail for two to three minutes. Here the rules differ \
           in their descriptions, and the group's next turn comes after two and a half minutes. The account's authorizes \
           come from a bucket that is empty and gains 5 a second, as EC2 documents, and the controller goes on emptying it: \
           rulekeeper has to share. At the next turn the controller finds the old rules again, and once more revokes and \
           authorizes them.",
    policy: "follow",
};

/// From the revoke to the group's next turn: the middle of the two to three minutes that are reported.
const NEXT_TURN: Duration = Duration::from_secs(150);

const UNTIL_TURN: &str =
    "until the group's next turn; the report gives two to three minutes for the outage";

const AUTHORIZE: &str = "AuthorizeSecurityGroupIngress";

fn described(rules: &[Rule], description: &str) -> Described {
    let described = rules.iter().cloned();
    described
        .map(|rule| (rule, description.to_owned()))
        .collect()
}

pub(super) async fn play(setup: Setup) -> Result<Outcome> {
    let balancers = setup.group("balancers", &Described::new())?;
    let rules = [
        tcp(8443, 8443, "10.0.0.0/16"),
        tcp(443, 443, &balancers),
        tcp(9402, 9402, "10.1.0.0/16"),
    ];
    let wanted = described(&rules, "probes (managed by ack)");
    let group = setup.group("service", &described(&rules, "probes"))?;
    let others = setup.group("another-service", &Described::new())?;
    let client = Client::service_account(&setup.stack, ROLE);
    let needed = vec![
        Traffic::from_address(8443, [10, 0, 4, 7]),
        Traffic::from_group(443, &balancers),
        Traffic::from_address(9402, [10, 1, 4, 7]),
    ];
    let follow = ("ack-ec2-controller*", "follow");
    let (mut replay, api) = Replay::begin(setup, &group, client, &[follow], needed)?;
    let ack = AckController::new(api, &others);

    let cloud = replay.setup().stack.cloud().clone();
    cloud.adjust(|dials| {
        let bucket = Bucket {
            burst: 1.0,
            per_second: 5.0,
        };
        dials.throttles.insert(AUTHORIZE.to_owned(), bucket);
        // Whatever is in the bucket: the report has the controller's own attempts fail.
        let fault = Fault::error(AUTHORIZE, THROTTLED, 503)
            .by(ROLE)
            .mentioning(&group);
        dials.faults.push(fault.times(3));
    });
    replay.wait_for_new_second().await?;
    let began = now();
    match ack.sync(&wanted).await {
        Err(refusal) if refusal.code == THROTTLED => {}
        Err(other) => return Err(other.into()),
        Ok(()) => return Err("EC2 should have throttled".into()),
    }
    if replay.mode() != Mode::Without {
        let other = described(&rules[..1], "probes");
        ack.sync_others(&mut replay, &other).await?;
    }

    let elapsed = Duration::from_micros(now() - began);
    replay
        .skip(NEXT_TURN.saturating_sub(elapsed), UNTIL_TURN)
        .await?;
    cloud.adjust(|dials| {
        dials.throttles.clear();
        dials.faults.clear();
    });
    ack.sync(&wanted).await?;
    let expected = Expected {
        live: rules.into(),
        ..Expected::default()
    };
    replay.finish(End::Flows, expected).await
}
