//! The cloud on loopback: EC2's security groups, CloudTrail, EventBridge, Lambda, DynamoDB and STS, over real HTTP, for rulekeeper's tests and demo.
//!
//! The real function and the real AWS SDKs call it.
//! It shares no code with the rest of the project, so that a mistake in one is not repeated in the other.
//! It refuses what it does not imitate, with an error that names `rulekeeper-local`.
//!
//! # In a test
//!
//! ```no_run
//! use rulekeeper_local::{Fault, LambdaConfig, Stack, StackConfig};
//! use std::time::Duration;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let mut lambda = LambdaConfig::program("target/debug/rulekeeper-function");
//! lambda.env.insert("RULEKEEPER_TABLE".into(), "rulekeeper".into());
//! let stack = Stack::start(StackConfig { table: Some("rulekeeper".into()), lambda, ..StackConfig::default() })?;
//! let ec2 = stack.cloud().ec2();
//! let group = ec2.create_group("web", &ec2.create_vpc("10.0.0.0/16")?)?;
//! ec2.authorize(&group, &["tcp 443 from 10.0.0.0/8"])?;
//! // … write the desired-state record with any DynamoDB client at stack.endpoint() …
//! stack.cloud().inject(Fault::error("AuthorizeSecurityGroupIngress", "InternalError", 500));
//! ec2.revoke(&group, &["tcp 443 from 10.0.0.0/8"])?;
//! stack.lambda().wait_idle(Duration::from_secs(10)).await?;
//! assert_eq!(ec2.rules(&group), ["tcp 443 from 10.0.0.0/8"]);
//! # Ok(())
//! # }
//! ```
//!
//! The stack has threads of its own, so both plain and asynchronous tests can use it.
//!
//! # Map
//!
//! From the bottom to the top: a module imports only modules listed above it. A test checks this.
//!
//! | module | is |
//! | --- | --- |
//! | `lock` | locks that outlive a panic |
//! | `times` | times as the services write them |
//! | `ids` | identifiers in AWS's shapes |
//! | `xml` | answers as XML |
//! | `http` | the HTTP server, which can also close a connection without an answer |
//! | `estate` | the resources around the function: trails, rules, its settings, AWS's clock |
//! | `pattern` | event patterns |
//! | `dials` | delays, errors and stale reads to imitate |
//! | `journal` | the calls that came in |
//! | `identity` | callers |
//! | `ec2` | EC2's state and actions, as pure functions |
//! | `policy` | IAM: roles, their policies out of a template, and what IAM is asked about a call |
//! | `trail` | CloudTrail's records |
//! | `lambda` | the function: its instances, its queue, the Runtime API |
//! | `bridge` | EventBridge's deliveries to the function |
//! | `cloud` | the cloud for tests: dials, hooks, journal, trail |
//! | `handle` | EC2 in process, in rule notation |
//! | `sts` | roles and callers |
//! | `sqs` | queues that feed the function |
//! | `events` | events put on buses |
//! | `dynamodb` | the embedded DynamoDB |
//! | `services` | the services behind the endpoint |
//! | `call` | the steps of every call: journal, latency, hooks, dials |
//! | `control` | the control planes of EventBridge and CloudTrail |
//! | `query` | the protocol of EC2, STS and SNS |
//! | `json` | the protocol of DynamoDB, SQS, EventBridge and CloudTrail |
//! | `lambda_api` | Lambda's API |
//! | `admin` | the routes under `/_local/` |
//! | `api` | the endpoint: finds the service of a request |
//! | `stack` | ports, threads, shutdown |
//!
//! # The admin API
//!
//! Paths under `/_local/` at the same address as AWS; bodies and answers are JSON, dials the same as in process.
//!
//! | method and path | does |
//! | --- | --- |
//! | `GET health` | `{"status": "ok"}` |
//! | `GET`, `PUT`, `PATCH`, `DELETE dials` | [`Dials`]: show, replace, change the members given, reset |
//! | `POST faults` | add one [`Fault`] |
//! | `GET`, `PUT`, `PATCH`, `DELETE estate` | [`Estate`]: show, replace, change the members given, reset |
//! | `GET`, `DELETE calls` | the journal: show (`?action=NAME` for one), clear |
//! | `GET trail`, `POST trail` | CloudTrail's records; add one and send it to EventBridge |
//! | `PUT identities/ACCESS_KEY` | assign an access key to a principal: `{"type": "AssumedRole", "account", "role", "session", "invoked_by"?}`, `IAMUser` (`account`, `name`), `EksServiceAccount` (`account`, `role`, `session`, `provider`), `Root`, `AWSService` (`account`, `name`), `Raw` (`account`, `arn`, `user_identity`) |
//! | `POST peerings` | `{"vpcs": ["vpc-…", "vpc-…"]}`: an active peering |
//! | `GET`, `PUT`, `PATCH`, `DELETE bridge` | [`Delivery`]: show, replace, change the members given, reset |
//! | `GET bridge/log`, `GET bridge/held`, `POST bridge/release` | how each event ended; held events; send them (`{"order": [1, 0]}`, or all) |
//! | `POST schedule` | send a scheduled event |
//! | `GET lambda` | load, attempts, events that were given up |
//! | `GET queues/NAME` | the bodies of a queue's messages, hidden ones included |
//! | `GET events` | the events that were put on buses |
//! | `GET lambda/logs` | output (`?request_id=…` for one invocation) |
//! | `DELETE lambda` | forget attempts, given-up events and output |
//! | `POST lambda/kill` | kill all instances |
//! | `POST lambda/wait-idle` | wait (`?timeout_ms=10000`): 200, or 408 with the load |
//!
//! # What it imitates, and from where
//!
//! *Inferred* means that no source states it and that it follows from the others.
//!
//! | behaviour | source |
//! | --- | --- |
//! | actions, parameters, answers, their names on the wire | EC2 API Reference, version 2016-11-15 |
//! | `GET /` is answered with `healthy`, and is no call | what DynamoDB's endpoints answer; EC2's redirect |
//! | codes, statuses, the XML of errors; 500 for server errors | EC2 Developer Guide, "Error codes for the Amazon EC2 API" |
//! | identity of a rule: protocol, ports, one source; never description, tags, id | `kubernetes-sigs/cluster-api-provider-aws` #5438; `kubernetes-sigs/aws-load-balancer-controller`, `security_group_info.go` |
//! | CIDRs stored with host bits cleared; the other spelling is a duplicate | EC2 API Reference, AuthorizeSecurityGroupIngress; for IPv6 text inferred |
//! | protocol names in any case, numbers for names | moto's tests verified against AWS; `Optum/ChaoSlingr`; that answers use names is inferred |
//! | `-1` and other numbers ignore ports | EC2 API Reference, `IpPermission` |
//! | how `-1` reads back in each describe | moto's tests verified against AWS; published CloudTrail records; the same for other numbers is inferred |
//! | ports needed for tcp and udp, and that message | moto's tests verified against AWS; the same for icmp is inferred |
//! | messages for ports out of range or reversed, malformed CIDRs, unknown protocols | from memory of reports; only the code `InvalidParameterValue` matters |
//! | ICMP type and code; icmpv6 without them means all | EC2 API Reference, `IpPermission` |
//! | authorize and revoke are all-or-nothing | documented for revoke outside a default VPC; inferred for authorize |
//! | `InvalidPermission.Duplicate` and its message | `galaxyproject/cloudlaunch` #56, `lucidsoftware/cumulus` #101; the wording for ICMP is inferred |
//! | "must not appear multiple times" | `hashicorp/terraform-provider-aws` #2587 |
//! | "exactly one of …" without a source | `aws/aws-sdk-ruby` #1716 |
//! | order of checks: form, repeats, references, duplicates, quota | inferred |
//! | both id and name in a group pair are refused | `spinnaker/clouddriver` #918 |
//! | groups in unconnected VPCs: code and message | reports on `hashicorp/terraform-provider-aws` |
//! | peered VPCs, owner needed for another account's group | VPC Peering Guide, "Update your security groups to reference peer security groups" |
//! | stale rules lose `UserId` | EC2 API Reference, `UserIdGroupPair` |
//! | a self-reference reads back with its owner | moto's tests verified against AWS |
//! | revoke in a default VPC: `unknownIpPermissionSet`; elsewhere `InvalidPermission.NotFound` | EC2 API Reference, RevokeSecurityGroupIngress; the message from `invictus-ir/aws_dataset` |
//! | `revokedSecurityGroupRuleSet`: flat, no account, no tags | EC2 API Reference, `RevokedSecurityGroupRule` |
//! | descriptions: 255 characters, and the set of characters | EC2 API Reference, `IpRange`, `UserIdGroupPair`, `PrefixListId` |
//! | new ids and no old tags after a re-authorize | inferred |
//! | modify keeps the id; kinds of source don't change; its messages | moto's tests verified against AWS |
//! | tags: 50, 128 and 256 characters, `aws:` reserved | EC2 User Guide, "Tag your resources"; messages inferred |
//! | grouping in DescribeSecurityGroups | moto's tests verified against AWS |
//! | an unknown well-formed group has no rules; a malformed id is an error | moto's tests verified against AWS |
//! | `MaxResults`, `NextToken` | EC2 API Reference |
//! | 200 filter values of 255 characters | `apache/druid` PR 1954, `ansible-collections/amazon.aws` #2393 |
//! | quota 60 per direction and family; prefix lists by maximum size or weight | VPC User Guide, quotas and prefix lists |
//! | references and prefix lists count in both families | older VPC quota page; `jantman/awslimitchecker` #431 |
//! | `RulesPerSecurityGroupLimitExceeded` and its message | `aws-samples/aws-cloudfront-samples` #53; for a growing prefix list inferred |
//! | a referenced group of the same VPC, a used prefix list can't be deleted | EC2 API Reference |
//! | dry runs check permission only | EC2 API Reference; `aws/aws-sdk-ruby` #1716 |
//! | policies: what matches, what denies, operators, sets, missing keys | the crate `iam-rs`, held against the rules of the IAM User Guide by tests; what it would ignore is refused |
//! | the actions, resources and condition keys that a call is judged by | Service Authorization Reference; DynamoDB Developer Guide, "Using IAM with DynamoDB transactions"; that `dynamodb:Attributes` has the attributes of conditions too is inferred |
//! | what Lambda does in the role's name: logs, traces, polling, destinations | Lambda Developer Guide, "Defining Lambda function permissions with an execution role" |
//! | records of asynchronous invocations | Lambda Developer Guide, "Capturing records of Lambda asynchronous invocations" |
//! | `UnauthorizedOperation` text; `CreateTags` checked on creation | `adanalvarez/TrailDiscover`; Service Authorization Reference |
//! | token buckets per account, Region and action | EC2 Developer Guide, "Request throttling" |
//! | reads lag behind; writes see what is true | EC2 Developer Guide, "Eventual consistency"; that writes are exact is inferred |
//! | CloudTrail envelope | CloudTrail User Guide, "CloudTrail record contents" |
//! | `userIdentity` of each kind of caller | CloudTrail User Guide, "CloudTrail userIdentity element"; EKS example in the AWS Marketplace documentation |
//! | request forms of revoke and authorize, `{"items": …}` and `{}` | published records (`invictus-ir/aws_dataset`, Stratus Red Team); for rule ids public queries, neighbouring keys inferred |
//! | ModifySecurityGroupRules in PascalCase with `tag` | cloud-custodian's documentation; `aws-samples/cloud-trail-lake-query-samples`; a list for several is inferred |
//! | UpdateSecurityGroupRuleDescriptionsIngress in the forms of the revoke | inferred: there is no published record |
//! | failed calls: prefixed `errorCode`, null `responseElements` | published records; that throttling is `Client.` from the EC2 error page |
//! | requests and answers of more than 100 KB are omitted, error messages cut at 1 KB | CloudTrail User Guide, "CloudTrail record contents"; that nothing but `omitted` is left is inferred |
//! | EventBridge envelope, best effort, repeats, no order, 256 KB | EventBridge User Guide and Events Reference; CloudTrail User Guide; published events |
//! | two retries after one and two minutes, event age, failure destinations | Lambda Developer Guide, asynchronous invocation |
//! | payloads: 6 MB, events 1 MB, answers 6 MB | Lambda API Reference, Invoke |
//! | Runtime API, environment, timeouts, exit errors | Lambda Developer Guide, "Using the Lambda runtime API", "Defined runtime environment variables" |
//! | queues: delays, hiding, dead-letter queues, limits, errors | Amazon SQS API Reference and Developer Guide |
//! | batches to the function, `batchItemFailures`, one poller for each concurrent invocation | Lambda Developer Guide, "Using Lambda with Amazon SQS" |
//! | PutEvents: limits, entries that fail by themselves | Amazon EventBridge API Reference; entries of 256 KB as its User Guide says, though the AWS Compute Blog tells of 1 MB since January 2026 |
//! | AssumeRole, GetCallerIdentity | AWS STS API Reference |
//! | GetTopicAttributes | Amazon SNS API Reference; `SubscriptionsConfirmed` alone |
//! | trails, their status and selectors; trails of every Region show everywhere | CloudTrail API Reference, DescribeTrails, GetTrailStatus, GetEventSelectors |
//! | no event reaches EventBridge unless a trail is logging | EventBridge User Guide, "AWS service events delivered via AWS CloudTrail" |
//! | rules by target, rules, targets and their dead-letter queues; patterns with values, `exists` and `$or` | EventBridge API Reference; EventBridge User Guide, "Creating Amazon EventBridge event patterns" |
//! | TestEventPattern and the fields that its event needs | EventBridge API Reference, TestEventPattern; the code for a missing one is inferred |
//! | the function's configuration, concurrency and asynchronous configuration; 404 without the last; 429 with reserved concurrency 0 | Lambda API Reference; Lambda Developer Guide, "Configuring reserved concurrency" |
//! | `AccessDeniedException` of these services, status 400 (Lambda: 403), and its text | common errors of their API References; the text is from memory of reports |
//! | `Date` in every answer | RFC 9110, section 6.6.1 |
//! | point-in-time recovery | DynamoDB API Reference, DescribeContinuousBackups |
//! | a cancelled transaction names a reason for each part | DynamoDB API Reference, TransactWriteItems |
//! | DynamoDB | the crate `dynoxide-rs`, checked against AWS by a public conformance suite |
//!
//! # What it does not do
//!
//! - Other actions, filters and parameters than those in the code are refused by name.
//! - Signatures are not verified; every access key is accepted. An unregistered key is an IAM user of the default account.
//! - Policies are those of roles ([`StackConfig::roles`]): no service control policies, boundaries, session policies or policies of resources. Without roles, nothing is judged and any role can be assumed; `denied` in [`Dials`] refuses an action to everybody.
//! - A policy with an element, an operator or a condition key that is not judged is refused, and so is a call of which it is not known what IAM would be asked.
//! - Several rules of one call share no transaction id; calls never overlap: each works on the state at one instant.
//! - Peering connections are always active; no transit gateways, no VPC associations, no sharing.
//! - Prefix list changes are complete at once. AWS's lists are empty; only their weight counts.
//! - If a fault hides a success, CloudTrail records the error that the caller saw. A call whose answer was lost is recorded with its result.
//! - CloudTrail records EC2 writes only. There is one bus, one rule and one function for events of all accounts and Regions.
//! - EventBridge has no retries and no dead-letter queue: delivery to the function's queue always works, unless [`Delivery`] loses the event.
//! - Queues are standard queues, made in process or by `--sweep-queue`; no FIFO, no message attributes, no MD5 sums, no long polling, no recursive loop detection. If no instance is free, a poller waits; AWS would hide the message again.
//! - Events of PutEvents are kept; no rule gets them.
//! - If no instance is free, a synchronous invocation waits; AWS would answer `TooManyRequestsException`. Memory is not limited, and instances are not frozen between invocations.
//! - The control planes of CloudTrail, EventBridge and Lambda are read only; set the [`Estate`] to change them. Selectors, schedules and reserved concurrency are only shown, but a reserved concurrency of 0 refuses synchronous invocations.
//! - DynamoDB: no streams to Lambda, and no backups, only the answer whether they are on. Each account and Region has a database of its own.

mod admin;
mod api;
mod bridge;
mod call;
mod cloud;
mod control;
mod dials;
mod dynamodb;
mod ec2;
mod estate;
mod events;
mod handle;
mod http;
mod identity;
mod ids;
mod journal;
mod json;
mod lambda;
mod lambda_api;
mod lock;
mod pattern;
mod policy;
mod query;
mod services;
mod sqs;
mod stack;
mod sts;
mod times;
mod trail;
mod xml;

pub use bridge::{Bridge, Delivered, Delivery};
pub use cloud::Cloud;
pub use dials::{Bucket, Dials, Fault, FaultKind, Latency};
pub use ec2::{Answer, Ec2Error, Params};
pub use estate::{Estate, FunctionState, Rule, Trail};
pub use events::{Buses, PutEvent};
pub use handle::Ec2;
pub use identity::Identity;
pub use journal::Call;
pub use lambda::{
    DeadLetter, Destinations, Invocation, InvocationResult, Lambda, LambdaConfig, Load, LogLine,
    LogSink, NotIdle, Outcome, SentRecord,
};
pub use policy::{Access, Given, Iam, Judged, Policy, PolicyError, Role, Template, TemplateError};
pub use sqs::{EventSource, QueueConfig, Queues};
pub use stack::{Stack, StackConfig, StartError};
