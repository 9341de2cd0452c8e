//! Groups of other accounts and Regions, through a role there.

use rulekeeper_local::{Ec2, Fault, Identity};
use serde_json::{Value, json};

use crate::support::{Scene, rule_json};

const OFFICE: &str = "tcp 443 from 10.0.0.0/8";
const ROLE: &str = "rulekeeper-member";

/// A group of another account with a record and a live rule.
struct Member {
    ec2: Ec2,
    account: &'static str,
    group: String,
}

impl Member {
    async fn new(scene: &Scene, account: &'static str, region: &str) -> Self {
        let them = Identity::user(account, "them");
        let ec2 = scene.stack.cloud().ec2().acting_as(them).in_region(region);
        let quiet = ec2.clone().quietly();
        let vpc = quiet.create_vpc("10.0.0.0/16").expect("a VPC");
        let group = quiet.create_group("web", &vpc).expect("a group");
        quiet.authorize(&group, &[OFFICE]).expect("good");
        let record = json!({"schema": 1, "generation": 1, "rules": [rule_json(OFFICE)]});
        let pk = format!("desired#{account}#{region}");
        scene.table.put(&pk, &group, &record).await;
        Self {
            ec2,
            account,
            group,
        }
    }

    fn drop_it(&self) {
        self.ec2.revoke(&self.group, &[OFFICE]).expect("live");
    }

    fn is_back(&self) -> bool {
        self.ec2.rules(&self.group) == [OFFICE]
    }

    fn answers<'v>(&self, answers: &'v [Value]) -> Vec<&'v Value> {
        let of_account = |answer: &&Value| answer["group"]["account"] == self.account;
        answers.iter().filter(of_account).collect()
    }
}

async fn scene() -> Scene {
    Scene::with(|config| {
        let env = &mut config.lambda.env;
        env.insert("RULEKEEPER_ROLE_NAME".to_owned(), ROLE.to_owned());
    })
    .await
}

#[tokio::test]
async fn rules_come_back_in_several_accounts_and_regions_and_one_that_says_no_holds_back_nobody() {
    let scene = scene().await;
    let near = Member::new(&scene, "444455556666", "eu-west-1").await;
    let far = Member::new(&scene, "444455556666", "ap-south-1").await;
    let closed = Member::new(&scene, "777788889999", "eu-west-1").await;
    let refusal = Fault::error("AssumeRole", "AccessDenied", 403);
    let refused_role = format!("arn:aws:iam::777788889999:role/{ROLE}");
    let refusal = refusal.mentioning(&refused_role).times(1_000);
    scene
        .stack
        .cloud()
        .adjust(|dials| dials.faults.push(refusal));
    for member in [&closed, &near, &far] {
        member.drop_it();
    }
    scene.settle().await;
    assert!(near.is_back() && far.is_back(), "{:#?}", scene.answers());
    assert!(!closed.is_back());
    let answers = scene.answers();
    for member in [&near, &far] {
        let answers = member.answers(&answers);
        let outcomes: Vec<&Value> = answers.iter().map(|it| &it["outcome"]).collect();
        assert!(outcomes.contains(&&json!("restored")), "{answers:#?}");
    }
    let refused = closed.answers(&answers);
    let [answer] = &refused[..] else {
        panic!("no second delivery could help: {refused:#?}")
    };
    assert_eq!(answer["outcome"], "failed", "{answer:#}");
    let reason = answer["reason"].as_str().expect("a reason");
    for part in [
        format!("AssumeRole: AccessDenied: the role {refused_role} may not be assumed"),
        "see MemberRoleName".to_owned(),
        "template-member.yaml".to_owned(),
    ] {
        assert!(reason.contains(&part), "{part} is not in {reason}");
    }
    let messages = scene.stack.lambda().dead_letters();
    assert!(messages.is_empty(), "it is answered: {messages:#?}");
}

#[tokio::test]
async fn a_role_that_is_refused_ends_a_sweep_with_one_call_to_sts_and_an_answer() {
    let scene = scene().await;
    let account = "777788889999";
    for _ in 0..5 {
        Member::new(&scene, account, "eu-west-1").await;
    }
    let cloud = scene.stack.cloud();
    cloud.adjust(|dials| dials.denied.insert("AssumeRole".to_owned()));
    let request = json!({"sweep": {"account": account, "region": "eu-west-1"}});
    let answered = scene.stack.lambda().invoke(request).await.payload;
    assert_eq!(answered["sweep"]["groups"], 0, "{answered:#}");
    let reason = answered["reason"].as_str().expect("a reason");
    let role = format!("arn:aws:iam::{account}:role/{ROLE}");
    assert!(
        reason.contains(&format!(
            "is not authorized to perform: sts:AssumeRole on resource: {role}"
        )),
        "STS's own words are passed on: {reason}"
    );
    assert_eq!(cloud.count("AssumeRole"), 1, "it is not asked again");
}

#[tokio::test]
async fn a_busy_sts_is_asked_again_and_what_fresh_credentials_may_mend_has_the_event_delivered_again()
 {
    let scene = scene().await;
    let member = Member::new(&scene, "444455556666", "eu-west-1").await;
    let busy = Fault::error("AssumeRole", "Throttling", 400).times(2);
    scene.stack.cloud().inject(busy);
    member.drop_it();
    scene.settle().await;
    assert!(member.is_back(), "{:#?}", scene.answers());

    let other = Member::new(&scene, "555566667777", "eu-west-1").await;
    let expired = Fault::error("AssumeRole", "ExpiredTokenException", 400).always();
    scene.stack.cloud().inject(expired);
    other.drop_it();
    scene.settle().await;
    assert!(!other.is_back());
    let messages = scene.stack.lambda().dead_letters();
    assert!(
        messages
            .iter()
            .any(|letter| format!("{letter:?}").contains("555566667777")),
        "another delivery could have helped: {messages:#?}"
    );
}

#[tokio::test]
async fn a_member_is_swept_in_its_own_account_and_region() {
    let scene = scene().await;
    let member = Member::new(&scene, "444455556666", "ap-south-1").await;
    let quiet = member.ec2.clone().quietly();
    quiet.revoke(&member.group, &[OFFICE]).expect("live");
    let request = json!({"sweep": {"account": "444455556666", "region": "ap-south-1"}});
    let answer = scene.stack.lambda().invoke(request).await.payload;
    assert_eq!(answer["sweep"]["restored"], 1, "{answer:#}");
    assert!(member.is_back());
}

#[tokio::test]
async fn a_role_is_assumed_in_the_partition_of_the_function() {
    let region = "us-gov-west-1";
    let scene = Scene::with(|config| {
        config.region = region.to_owned();
        let env = &mut config.lambda.env;
        env.insert("RULEKEEPER_ROLE_NAME".to_owned(), ROLE.to_owned());
    })
    .await;
    // STS takes no role of another partition.
    let member = Member::new(&scene, "444455556666", region).await;
    member.drop_it();
    scene.settle().await;
    assert!(member.is_back(), "{:#?}", scene.answers());
}
