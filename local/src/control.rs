//! Control planes, read only: what CloudTrail, EventBridge and Lambda say of the [`Estate`](crate::Estate), and DynamoDB of its backups.

use std::future::pending;
use std::time::Instant;

use bytes::Bytes;
use hyper::http::request::Parts;
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

use crate::api::Api;
use crate::cloud::Verdict;
use crate::dials::Dials;
use crate::ec2::{Ec2Error, decode};
use crate::estate::{Rule, Trail};
use crate::http::{Body, Hangup, json_answer};
use crate::identity::Caller;
use crate::{admin, ids, pattern, times};

type Answered = Result<Value, Ec2Error>;

impl Api {
    /// Lambda's API.
    pub(crate) async fn lambda_api(
        &self,
        caller: Caller,
        parts: &Parts,
        body: &Bytes,
    ) -> Result<Response<Body>, Hangup> {
        let path: Vec<_> = parts.uri.path().trim_matches('/').split('/').collect();
        let (action, name) = match (parts.method.as_str(), path.as_slice()) {
            ("GET", ["2015-03-31", "functions"]) => ("ListFunctions", None),
            ("GET", ["2015-03-31", "functions", name, "configuration"]) => {
                ("GetFunctionConfiguration", Some(decode(name)))
            }
            ("GET", ["2019-09-30", "functions", name, "concurrency"]) => {
                ("GetFunctionConcurrency", Some(decode(name)))
            }
            ("GET", ["2019-09-25", "functions", name, "event-invoke-config"]) => {
                ("GetFunctionEventInvokeConfig", Some(decode(name)))
            }
            ("POST", ["2015-03-31", "functions", name, "invocations"]) => {
                ("Invoke", Some(decode(name)))
            }
            (method, _) => {
                let message = format!(
                    "rulekeeper-local does not imitate {method} {}",
                    parts.uri.path()
                );
                return Ok(admin::problem(
                    StatusCode::NOT_FOUND,
                    "UnknownOperationException",
                    &message,
                ));
            }
        };
        let estate = self.cloud.estate();
        let known = name
            .as_deref()
            .is_none_or(|name| !estate.function.absent && self.lambda.is(name));
        let run = || match (known, action) {
            (false, _) => {
                let message = format!(
                    "Function not found: {} (rulekeeper-local runs one function, {})",
                    name.as_deref().unwrap_or_default(),
                    self.lambda.name()
                );
                Err(Ec2Error::new("ResourceNotFoundException", message).with_status(404))
            }
            (true, "Invoke") if estate.function.reserved_concurrency == Some(0) => {
                Err(Ec2Error::new("TooManyRequestsException", "Rate Exceeded.").with_status(429))
            }
            (true, "Invoke") => Ok(Value::Null),
            (true, "ListFunctions") if estate.function.absent => Ok(json!({ "Functions": [] })),
            (true, "ListFunctions") => {
                Ok(json!({ "Functions": [self.lambda.configuration(&estate)] }))
            }
            (true, "GetFunctionConfiguration") => Ok(self.lambda.configuration(&estate)),
            (true, "GetFunctionConcurrency") => Ok(match estate.function.reserved_concurrency {
                Some(reserved) => json!({ "ReservedConcurrentExecutions": reserved }),
                None => json!({}),
            }),
            (true, _) => self.lambda.event_invoke_config(&estate),
        };
        Ok(
            match self.judged(&caller, "lambda", action, body, run).await? {
                Ok(_) if action == "Invoke" => {
                    admin::invoke(&self.lambda, &parts.headers, body).await
                }
                Ok(answer) => json_answer(StatusCode::OK, &answer),
                Err(refusal) => {
                    let status =
                        StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::BAD_REQUEST);
                    admin::problem(status, &refusal.code, &refusal.message)
                }
            },
        )
    }

    /// Puts a call through latency, hooks, dials and journal. An invocation's own time is not the journal's.
    async fn judged(
        &self,
        caller: &Caller,
        service: &str,
        action: &str,
        body: &Bytes,
        run: impl FnOnce() -> Answered,
    ) -> Result<Answered, Hangup> {
        let arrived = Instant::now();
        let sequence = self.open(caller, service, action, None);
        let close = |outcome: &str, status: Option<u16>| {
            let took = times::micros(arrived.elapsed());
            self.cloud.close_call(sequence, outcome, status, took);
        };
        self.linger(action).await;
        self.cloud.run_hook(action);
        let text = String::from_utf8_lossy(body);
        let denial = |dials: &Dials| {
            let message = format!(
                "User: {} is not authorized to perform: {service}:{action} because no identity-based policy allows the \
                 {service}:{action} action",
                caller.identity.arn
            );
            let refusal = || Ec2Error::new("AccessDeniedException", message).with_status(400);
            dials.denied.contains(action).then(refusal)
        };
        let result = match self
            .cloud
            .judge(caller, action, |id| text.contains(id), denial)
        {
            Verdict::Go => run(),
            // Nothing here has an effect that could be had behind the caller's back.
            Verdict::Fail { refusal, .. } => Err(refusal),
            Verdict::Drop { .. } => {
                close("ConnectionDropped", None);
                return Err(Hangup);
            }
            Verdict::Silence { .. } => {
                close("Silence", None);
                return pending().await;
            }
        };
        match &result {
            Ok(_) => close("Success", Some(200)),
            Err(refusal) => close(&refusal.code, Some(refusal.status)),
        }
        Ok(result)
    }

    /// EventBridge's rules.
    pub(crate) fn events(&self, action: &str, asked: &Value) -> Answered {
        let estate = self.cloud.estate();
        let (account, region) = (self.cloud.account(), self.cloud.region());
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
                    asked["TargetArn"] == json!(self.lambda.arn()) && !estate.function.absent;
                let names = estate.rules.iter().filter(|_| ours).map(|rule| &rule.name);
                Ok(json!({ "RuleNames": names.collect::<Vec<_>>() }))
            }
            "DescribeRule" => Ok(described(rule("Name")?, account, region)),
            "ListTargetsByRule" => {
                let mut target = json!({ "Id": "function", "Arn": self.lambda.arn() });
                if let Some(queue) = &rule("Rule")?.dead_letters {
                    target["DeadLetterConfig"] =
                        json!({ "Arn": ids::queue_arn(queue, account, region) });
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
            other => Err(not_imitated("events", other)),
        }
    }

    /// CloudTrail's trails.
    pub(crate) fn cloudtrail(&self, caller: &Caller, action: &str, asked: &Value) -> Answered {
        let (estate, region) = (self.cloud.estate(), self.cloud.region());
        let home = |trail: &Trail| match trail.home_region.as_str() {
            "" => region.to_owned(),
            home => home.to_owned(),
        };
        let account = &caller.identity.account;
        let arn = |trail: &Trail| {
            format!(
                "arn:aws:cloudtrail:{}:{account}:trail/{}",
                home(trail),
                trail.name
            )
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
                let here = |trail: &&Trail| {
                    home(trail) == caller.region || (trail.multi_region && shadows)
                };
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
                    false => {
                        shown["AdvancedEventSelectors"] = trail.advanced_event_selectors.clone()
                    }
                }
                Ok(shown)
            }
            other => Err(not_imitated("cloudtrail", other)),
        }
    }
}

fn not_imitated(service: &str, action: &str) -> Ec2Error {
    let message = format!("rulekeeper-local does not imitate {service}:{action}");
    Ec2Error::new("UnknownOperationException", message)
}

fn described(rule: &Rule, account: &str, region: &str) -> Value {
    let mut shown = json!({
        "Name": rule.name, "Arn": format!("arn:aws:events:{region}:{account}:rule/{}", rule.name),
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
