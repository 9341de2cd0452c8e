//! ACK's EC2 controller replaces rules after an upgrade, and EC2 throttles it before it has authorized them.

use std::time::Duration;

use rulekeeper_bench::Result;
use rulekeeper_bench::client::Client;
use rulekeeper_bench::time::{between, now};
use rulekeeper_local::{Bucket, Fault};

use super::Story;
use crate::controllers::ack::{AckController, ROLE, THROTTLED};
use crate::replay::{End, Expected, Outcome, Replay};
use crate::rules::{Described, Traffic, described, tcp};
use crate::setup::Setup;

pub(crate) const STORY: Story = Story {
    name: "ack-2951",
    title: "ACK: rules are revoked and authorized again, and EC2 throttles in between",
    source: Some((
        "ACK #2951",
        "https://github.com/aws-controllers-k8s/community/issues/2951",
    )),
    text: "After an upgrade the controller revokes the rules of many groups and authorizes them again. EC2 throttles it until \
           the SDK has no retries left; the report says that health probes failed for two to three minutes. In the replay \
           the rules differ in their descriptions, and the controller returns to the group after two and a half minutes. \
           The account's authorizes come from a bucket that is empty and gains 5 a second, as EC2 documents. The controller \
           goes on calling for other groups, so rulekeeper has to share the bucket. When the controller returns, it finds \
           the old rules again, and once more revokes and authorizes them. If the events of its throttled tries come before \
           its change has settled, rulekeeper waits for the next try, two minutes at most with the queue of the template; \
           the replay has no queue.",
    policy: "follow",
    replay: |setup| Box::pin(replay(setup)),
};

/// From the revoke until the controller returns to the group: the middle of the reported two to three minutes.
const RETURN: Duration = Duration::from_secs(150);

const UNTIL_RETURN: &str =
    "until the controller returns to the group; the report says two to three minutes";

const AUTHORIZE: &str = "AuthorizeSecurityGroupIngress";

async fn replay(setup: Setup) -> Result<Outcome> {
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
    let traffic = vec![
        Traffic::from_address(8443, [10, 0, 4, 7]),
        Traffic::from_group(443, &balancers),
        Traffic::from_address(9402, [10, 1, 4, 7]),
    ];
    let follow = ("ack-ec2-controller*", "follow");
    let (mut replay, client) = Replay::begin(setup, &group, client, &[follow], traffic)?;
    let ack = AckController::new(client, &others);

    let cloud = replay.stack().cloud().clone();
    cloud.adjust(|dials| {
        let bucket = Bucket {
            burst: 1.0,
            per_second: 5.0,
        };
        dials.throttles.insert(AUTHORIZE.to_owned(), bucket);
        // The controller's attempts fail even if the bucket has a token, as in the report.
        let fault = Fault::error(AUTHORIZE, THROTTLED, 503)
            .by(ROLE)
            .mentioning(&group);
        dials.faults.push(fault.times(3));
    });
    replay.wait_for_new_second().await?;
    let began = now();
    match ack.sync(&wanted).await {
        Err(error) if error.code == THROTTLED => {}
        Err(other) => return Err(other.into()),
        Ok(()) => return Err("EC2 did not throttle".into()),
    }
    if replay.has_rulekeeper() {
        let other_rules = described(&rules[..1], "probes");
        ack.sync_others(&mut replay, &other_rules).await?;
    }

    let rest = RETURN.saturating_sub(between(began, now()));
    replay.skip(rest, UNTIL_RETURN).await?;
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
