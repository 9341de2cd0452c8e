//! What an event passes: trails, rules and queues.

use aws_sdk_cloudtrail::types::{AdvancedFieldSelector, EventSelector, Trail};
use aws_sdk_eventbridge::types::RuleState;
use aws_sdk_sqs::types::QueueAttributeName;
use rulekeeper::aws::{api_error, whole};
use rulekeeper_core::model::Region;
use rulekeeper_core::ports::ApiError;

use super::Cloud;
use crate::doctor::facts::{
    Basic, Field, QueueName, RuleFacts, Rules, Selectors, Status, TrailFacts, WANTED, Waiting,
};

/// SQS's codes for a queue that is not there: that of its JSON protocol, and the older one, which AWS still sends beside
/// it (Amazon SQS API Reference, GetQueueUrl).
const NO_QUEUE: [&str; 2] = [
    "QueueDoesNotExist",
    "AWS.SimpleQueueService.NonExistentQueue",
];

impl Cloud {
    /// Every trail that shows in our Region, each with its status and what it logs.
    pub(in crate::doctor) async fn trails(
        &self,
        region: &Region,
    ) -> Result<Vec<TrailFacts>, ApiError> {
        let asked = self
            .trails
            .describe_trails()
            .include_shadow_trails(true)
            .send()
            .await;
        let found = asked.map_err(|error| api_error("DescribeTrails", &error))?;
        let mut trails = Vec::new();
        for trail in whole("DescribeTrails", "trailList", found.trail_list)? {
            trails.push(self.trail(trail, region).await);
        }
        Ok(trails)
    }

    async fn trail(&self, trail: Trail, region: &Region) -> TrailFacts {
        let name = trail.name.unwrap_or_default();
        let arn = trail.trail_arn.unwrap_or_else(|| name.clone());
        let (status, selectors) = tokio::join!(
            self.trails.get_trail_status().name(&arn).send(),
            self.trails.get_event_selectors().trail_name(&arn).send(),
        );
        let status = status.map_err(|error| api_error("GetTrailStatus", &error));
        let status = status.and_then(|it| {
            Ok(Status {
                logging: whole("GetTrailStatus", "IsLogging", it.is_logging)?,
                delivery_error: it.latest_delivery_error.filter(|error| !error.is_empty()),
            })
        });
        let selectors = selectors.map(|it| Selectors {
            basic: it
                .event_selectors
                .unwrap_or_default()
                .into_iter()
                .map(basic)
                .collect(),
            advanced: it
                .advanced_event_selectors
                .unwrap_or_default()
                .into_iter()
                .map(|selector| selector.field_selectors.into_iter().map(field).collect())
                .collect(),
        });
        TrailFacts {
            name,
            arn,
            home_region: trail.home_region.unwrap_or_else(|| region.to_string()),
            multi_region: trail.is_multi_region_trail == Some(true),
            status,
            selectors: selectors.map_err(|error| api_error("GetEventSelectors", &error)),
        }
    }

    /// Every rule of the default bus whose target is the function.
    pub(in crate::doctor) async fn rules(&self, function_arn: &str) -> Rules {
        const OPERATION: &str = "ListRuleNamesByTarget";
        let failed = |error| ("events:ListRuleNamesByTarget", error);
        let (mut names, mut token) = (Vec::new(), None);
        loop {
            let call = self
                .events
                .list_rule_names_by_target()
                .target_arn(function_arn)
                .set_next_token(token);
            let page = call.send().await;
            let page = page.map_err(|error| failed(api_error(OPERATION, &error)))?;
            names.extend(whole(OPERATION, "RuleNames", page.rule_names).map_err(failed)?);
            token = page.next_token.filter(|token| !token.is_empty());
            if token.is_none() {
                break;
            }
        }
        let mut rules = Vec::new();
        for name in names {
            rules.push(self.rule(name, function_arn).await?);
        }
        Ok(rules)
    }

    async fn rule(
        &self,
        name: String,
        function_arn: &str,
    ) -> Result<RuleFacts, (&'static str, ApiError)> {
        let (rule, dead_letters) = tokio::join!(
            self.events.describe_rule().name(&name).send(),
            self.dead_letters_of(&name, function_arn),
        );
        let failed = |error| ("events:DescribeRule", error);
        let rule = rule.map_err(|error| failed(api_error("DescribeRule", &error)))?;
        let state = whole("DescribeRule", "State", rule.state).map_err(failed)?;
        let lets_through = match &rule.event_pattern {
            Some(pattern) => Some(self.let_through(pattern, function_arn).await),
            None => None,
        };
        Ok(RuleFacts {
            name,
            enabled: state != RuleState::Disabled,
            schedule: rule
                .schedule_expression
                .filter(|expression| !expression.is_empty()),
            lets_through,
            dead_letters,
        })
    }

    async fn dead_letters_of(
        &self,
        rule: &str,
        function_arn: &str,
    ) -> Result<Option<String>, ApiError> {
        let asked = self.events.list_targets_by_rule().rule(rule).send().await;
        let found = asked.map_err(|error| api_error("ListTargetsByRule", &error))?;
        // A rule has five targets at most, far less than a page (EventBridge quotas).
        let mut targets = whole("ListTargetsByRule", "Targets", found.targets)?.into_iter();
        let ours = targets.find(|target| target.arn == function_arn);
        Ok(ours.and_then(|target| target.dead_letter_config?.arn))
    }

    /// Which of the wanted events a pattern lets through, as EventBridge itself judges it.
    async fn let_through(
        &self,
        pattern: &str,
        function_arn: &str,
    ) -> Result<Vec<&'static str>, ApiError> {
        let mut place = function_arn.split(':').skip(3);
        let (region, account) = (
            place.next().unwrap_or_default(),
            place.next().unwrap_or_default(),
        );
        let mut through = Vec::new();
        for wanted in WANTED {
            let event = wanted.event(account, region).to_string();
            let asked = self
                .events
                .test_event_pattern()
                .event_pattern(pattern)
                .event(event)
                .send()
                .await;
            if asked
                .map_err(|error| api_error("TestEventPattern", &error))?
                .result
            {
                through.push(wanted.name);
            }
        }
        Ok(through)
    }

    /// How many messages each queue holds; `None` for what is no queue.
    pub(in crate::doctor) async fn queues(
        &self,
        arns: Vec<String>,
    ) -> Vec<(String, Option<Waiting>)> {
        let mut found = Vec::new();
        for arn in arns {
            let waiting = match QueueName::of_arn(&arn) {
                Some(queue) => Some(self.waiting(&queue).await),
                None => None,
            };
            found.push((arn, waiting));
        }
        found
    }

    async fn waiting(&self, queue: &QueueName) -> Waiting {
        let region = aws_config::Region::new(queue.region.clone());
        let config = aws_sdk_sqs::config::Builder::from(&self.config)
            .region(region)
            .build();
        let client = aws_sdk_sqs::Client::from_conf(config);
        let url = client
            .get_queue_url()
            .queue_name(&queue.name)
            .queue_owner_aws_account_id(&queue.account);
        let url = match url.send().await {
            Ok(found) => whole("GetQueueUrl", "QueueUrl", found.queue_url)
                .map_err(|error| ("sqs:GetQueueUrl", error))?,
            Err(error) => {
                let error = api_error("GetQueueUrl", &error);
                return match NO_QUEUE.contains(&error.code()) {
                    true => Ok(None),
                    false => Err(("sqs:GetQueueUrl", error)),
                };
            }
        };
        // Hidden messages appear again unless somebody deletes them.
        let counts = [
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
        ];
        let asked = client
            .get_queue_attributes()
            .queue_url(url)
            .set_attribute_names(Some(counts.to_vec()));
        const OPERATION: &str = "GetQueueAttributes";
        let asked = asked.send().await;
        let found = asked.map_err(|error| api_error(OPERATION, &error));
        let waiting = found.and_then(|found| {
            let number = |name| {
                let given = found.attributes().and_then(|given| given.get(name));
                let number = given.and_then(|text| text.parse::<usize>().ok());
                whole(OPERATION, "number of messages", number)
            };
            counts.iter().map(number).sum::<Result<usize, ApiError>>()
        });
        let waiting = waiting.map_err(|error| ("sqs:GetQueueAttributes", error))?;
        Ok(Some(waiting))
    }
}

fn basic(selector: EventSelector) -> Basic {
    Basic {
        // Both have these defaults (CloudTrail API Reference, EventSelector).
        management: selector.include_management_events.unwrap_or(true),
        read_write: selector
            .read_write_type
            .map_or_else(|| "All".to_owned(), |it| it.to_string()),
    }
}

fn field(selector: AdvancedFieldSelector) -> Field {
    Field {
        name: selector.field,
        equals: selector.equals.unwrap_or_default(),
        starts_with: selector.starts_with.unwrap_or_default(),
        ends_with: selector.ends_with.unwrap_or_default(),
        not_equals: selector.not_equals.unwrap_or_default(),
        not_starts_with: selector.not_starts_with.unwrap_or_default(),
        not_ends_with: selector.not_ends_with.unwrap_or_default(),
    }
}
