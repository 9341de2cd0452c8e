//! CloudTrail's trails: without one that logs management write events no call reaches EventBridge (EventBridge User
//! Guide, "AWS service events delivered via AWS CloudTrail").

use rulekeeper_core::function::permissions::Check;
use rulekeeper_core::model::Region;
use rulekeeper_core::ports::ApiError;

use super::check::{failed, ok, unknown, warning};
use super::facts::{Field, Selectors, TrailFacts};

/// Whether a trail logs the calls that drop rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Logs {
    Yes,
    No,
    /// Those of some callers, say.
    Perhaps,
}

impl Selectors {
    fn log_drops(&self) -> Logs {
        if self.basic.is_empty() && self.advanced.is_empty() {
            return Logs::Yes;
        }
        let basic = self
            .basic
            .iter()
            .map(|one| match (one.management, one.read_write.as_str()) {
                (true, "All" | "WriteOnly") => Logs::Yes,
                _ => Logs::No,
            });
        let advanced = self.advanced.iter().map(|fields| Self::admits(fields));
        let all: Vec<_> = basic.chain(advanced).collect();
        match () {
            () if all.contains(&Logs::Yes) => Logs::Yes,
            () if all.contains(&Logs::Perhaps) => Logs::Perhaps,
            () => Logs::No,
        }
    }

    fn admits(fields: &[Field]) -> Logs {
        let mut logs = Logs::Yes;
        for field in fields {
            // What a RevokeSecurityGroupIngress has in these fields (CloudTrail API Reference, AdvancedFieldSelector).
            let value = match field.name.as_str() {
                "eventCategory" => "Management",
                "readOnly" => "false",
                "eventSource" => "ec2.amazonaws.com",
                "eventName" => "RevokeSecurityGroupIngress",
                "eventType" => "AwsApiCall",
                _ => {
                    logs = Logs::Perhaps;
                    continue;
                }
            };
            if !field.takes(value) {
                return Logs::No;
            }
        }
        logs
    }
}

impl Field {
    fn takes(&self, value: &str) -> bool {
        let is = |text: &String| value == text;
        let begins = |text: &String| value.starts_with(text.as_str());
        let ends = |text: &String| value.ends_with(text.as_str());
        let asked =
            !(self.equals.is_empty() && self.starts_with.is_empty() && self.ends_with.is_empty());
        let named = self.equals.iter().any(is)
            || self.starts_with.iter().any(begins)
            || self.ends_with.iter().any(ends);
        let barred = self.not_equals.iter().any(is)
            || self.not_starts_with.iter().any(begins)
            || self.not_ends_with.iter().any(ends);
        (named || !asked) && !barred
    }
}

pub(super) fn judge(trails: &Result<Vec<TrailFacts>, ApiError>, region: &Region) -> Vec<Check> {
    let trails = match trails {
        Ok(trails) => trails,
        Err(error) => {
            return vec![unknown(
                "trail",
                region.as_str(),
                error,
                "cloudtrail:DescribeTrails",
            )];
        }
    };
    let here = |trail: &&TrailFacts| trail.multi_region || trail.home_region == region.as_str();
    let checks: Vec<_> = trails.iter().filter(here).map(of_trail).collect();
    if checks.is_empty() {
        let found = format!(
            "{region} has no trail, so no call reaches EventBridge and only sweeps restore"
        );
        let fix = "Make one; the bucket needs the policy of CloudTrail's User Guide, \"Amazon S3 bucket policy for CloudTrail\":\n\
                   aws cloudtrail create-trail --name management --s3-bucket-name BUCKET --is-multi-region-trail\n\
                   aws cloudtrail start-logging --name management";
        return vec![failed("trail", region.as_str(), found).fix(fix)];
    }
    // One trail that logs is enough; the others may log what they like.
    let good: Vec<_> = checks
        .iter()
        .filter(|(logs, _)| *logs)
        .map(|(_, check)| check.clone())
        .collect();
    match good.is_empty() {
        true => checks.into_iter().map(|(_, check)| check).collect(),
        false => good,
    }
}

/// Whether the trail does what is needed, and the check that says so.
fn of_trail(trail: &TrailFacts) -> (bool, Check) {
    let (name, arn) = (trail.name.as_str(), trail.arn.as_str());
    let in_home = format!("--region {}", trail.home_region);
    let status = match &trail.status {
        Ok(status) => status,
        Err(error) => {
            return (
                false,
                unknown("trail", name, error, "cloudtrail:GetTrailStatus"),
            );
        }
    };
    if !status.logging {
        let found = "is not logging, so no call reaches EventBridge and only sweeps restore";
        let fix = format!("aws cloudtrail start-logging --name {arn} {in_home}");
        return (false, failed("trail", name, found).fix(fix));
    }
    let logs = match &trail.selectors {
        Ok(selectors) => selectors.log_drops(),
        Err(error) => {
            return (
                false,
                unknown("trail", name, error, "cloudtrail:GetEventSelectors"),
            );
        }
    };
    let add = format!(
        "Look at what it logs now, which the second command replaces:\n\
         aws cloudtrail get-event-selectors --trail-name {arn} {in_home}\n\
         aws cloudtrail put-event-selectors --trail-name {arn} {in_home} --event-selectors \
         '[{{\"ReadWriteType\": \"WriteOnly\", \"IncludeManagementEvents\": true}}]'"
    );
    match (logs, &status.delivery_error) {
        (Logs::No, _) => {
            let found =
                "does not log management write events of EC2, so no revoke reaches EventBridge";
            (false, failed("trail", name, found).fix(add))
        }
        (Logs::Perhaps, _) => {
            let found = "logs management write events of some callers only: only sweeps notice revokes by the others";
            (true, warning("trail", name, found).fix(add))
        }
        (Logs::Yes, Some(error)) => {
            let found =
                format!("is logging, but its latest delivery to its bucket failed: {error}");
            (
                true,
                warning("trail", name, found).fix(
                    "Look at the bucket's policy and its key; events still go to EventBridge.",
                ),
            )
        }
        (Logs::Yes, None) => (true, ok("trail", name, "logs management write events here")),
    }
}
