//! Control planes, read only: how EventBridge and CloudTrail show the [`Estate`](crate::Estate).

use serde_json::{Value, json};

use crate::ec2::Ec2Error;
use crate::estate::{Rule, Trail};
use crate::identity::Caller;
use crate::services::{Service, Services};
use crate::{ids, pattern};

type Answered = Result<Value, Ec2Error>;

/// EventBridge's rules.
pub(crate) fn events(services: &Services, action: &str, asked: &Value) -> Answered {
    let estate = services.cloud.estate();
    let (account, region) = (services.cloud.account(), services.cloud.region());
    let rule = |name: &str| {
        let name = asked[name].as_str().unwrap_or_default();
        estate
            .rules
            .iter()
            .find(|rule| rule.name == name)
            .ok_or_else(|| {
                let message = format!("Rule {name} does not exist on EventBus default.");
                Ec2Error::new("ResourceNotFoundException", message)
            })
    };
    match action {
        "ListRuleNamesByTarget" => {
            let ours =
                asked["TargetArn"] == json!(services.lambda.arn()) && !estate.function.absent;
            let names = estate.rules.iter().filter(|_| ours).map(|rule| &rule.name);
            Ok(json!({ "RuleNames": names.collect::<Vec<_>>() }))
        }
        "DescribeRule" => Ok(described(rule("Name")?, account, region)),
        "ListTargetsByRule" => {
            let mut target = json!({ "Id": "function", "Arn": services.lambda.arn() });
            if let Some(queue) = &rule("Rule")?.dead_letters {
                target["DeadLetterConfig"] =
                    json!({ "Arn": ids::arn("sqs", region, account, queue) });
            }
            Ok(json!({ "Targets": [target] }))
        }
        "TestEventPattern" => {
            let parsed = |name: &str| -> Answered {
                let text = asked[name].as_str().unwrap_or_default();
                serde_json::from_str(text).map_err(|error| {
                    Ec2Error::new("InvalidEventPatternException", format!("{name}: {error}"))
                })
            };
            let (pattern, event) = (parsed("EventPattern")?, parsed("Event")?);
            let needed = [
                "id",
                "account",
                "source",
                "time",
                "region",
                "resources",
                "detail-type",
            ];
            if let Some(missing) = needed.into_iter().find(|name| event.get(name).is_none()) {
                let message =
                    format!("Parameter Event is not valid. Reason: \"{missing}\" is missing");
                return Err(Ec2Error::new("ValidationException", message));
            }
            match pattern::matches(&pattern, &event) {
                Ok(result) => Ok(json!({ "Result": result })),
                Err(problem) => Err(Ec2Error::new("InvalidEventPatternException", problem)),
            }
        }
        other => Err(Service::EventBridge.not_imitated(other)),
    }
}

/// CloudTrail's trails.
pub(crate) fn cloudtrail(
    services: &Services,
    caller: &Caller,
    action: &str,
    asked: &Value,
) -> Answered {
    let (estate, region) = (services.cloud.estate(), services.cloud.region());
    let home = |trail: &Trail| match trail.home_region.as_str() {
        "" => region.to_owned(),
        home => home.to_owned(),
    };
    let account = &caller.identity.account;
    let arn = |trail: &Trail| {
        let resource = format!("trail/{}", trail.name);
        ids::arn("cloudtrail", &home(trail), account, &resource)
    };
    let named = |name: &str| {
        let name = asked[name].as_str().unwrap_or_default();
        let found = estate
            .trails
            .iter()
            .find(|trail| arn(trail) == name || trail.name == name);
        found.ok_or_else(|| {
            let message = format!("Unknown trail: {name} for the user: {account}");
            Ec2Error::new("TrailNotFoundException", message)
        })
    };
    match action {
        "DescribeTrails" => {
            let shadows = asked["includeShadowTrails"] != json!(false);
            let here =
                |trail: &&Trail| home(trail) == caller.region || (trail.multi_region && shadows);
            let shown = |trail: &Trail| {
                json!({
                    "Name": trail.name, "TrailARN": arn(trail), "HomeRegion": home(trail), "S3BucketName": "trails",
                    "IsMultiRegionTrail": trail.multi_region, "IsOrganizationTrail": false,
                    "IncludeGlobalServiceEvents": trail.multi_region, "LogFileValidationEnabled": false,
                    "HasCustomEventSelectors": true, "HasInsightSelectors": false,
                })
            };
            let trails: Vec<_> = estate.trails.iter().filter(here).map(shown).collect();
            Ok(json!({ "trailList": trails }))
        }
        "GetTrailStatus" => {
            let trail = named("Name")?;
            let mut status = json!({ "IsLogging": trail.logging });
            if let Some(error) = &trail.latest_delivery_error {
                status["LatestDeliveryError"] = error.as_str().into();
            }
            Ok(status)
        }
        "GetEventSelectors" => {
            let trail = named("TrailName")?;
            let advanced = trail.advanced_event_selectors.as_array();
            let mut shown = json!({ "TrailARN": arn(trail) });
            match advanced.is_none_or(Vec::is_empty) {
                true => shown["EventSelectors"] = trail.event_selectors.clone(),
                false => shown["AdvancedEventSelectors"] = trail.advanced_event_selectors.clone(),
            }
            Ok(shown)
        }
        other => Err(Service::CloudTrail.not_imitated(other)),
    }
}

fn described(rule: &Rule, account: &str, region: &str) -> Value {
    let mut shown = json!({
        "Name": rule.name, "Arn": ids::arn("events", region, account, &format!("rule/{}", rule.name)),
        "State": if rule.enabled { "ENABLED" } else { "DISABLED" }, "EventBusName": "default", "CreatedBy": account,
    });
    if let Some(pattern) = &rule.event_pattern {
        shown["EventPattern"] = pattern.to_string().into();
    }
    if let Some(schedule) = &rule.schedule {
        shown["ScheduleExpression"] = schedule.as_str().into();
    }
    shown
}
