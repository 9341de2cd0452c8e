//! What a request asks for, and what a refusal says.

use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use serde_json::Value;

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    /// Scheme, host and port.
    pub(crate) endpoint: String,
    /// The service's name in its signature, such as `dynamodb`; `None` for what is not signed, as for the logins.
    pub(crate) service: Option<String>,
    /// The Region in its signature.
    pub(crate) region: Option<String>,
    /// The API operation, where the request tells it.
    pub(crate) operation: Option<String>,
    /// What it writes that a person has to know of.
    pub(super) writes: Vec<String>,
}

impl Asked {
    pub(super) fn of(request: &HttpRequest) -> Self {
        let signed = request.headers().get("authorization");
        let signed = signed.and_then(|text| text.split("Credential=").nth(1));
        // KEY/DATE/REGION/SERVICE/aws4_request
        let mut scope = signed.unwrap_or_default().split('/').skip(2);
        let (region, service) = (scope.next(), scope.next());
        let body = request.body().bytes().unwrap_or_default();
        let target = request.headers().get("x-amz-target");
        let operation = match target.and_then(|target| target.split('.').nth(1)) {
            Some(operation) => Some(operation.to_owned()),
            None => of_form(body, "Action"),
        };
        let writes = match operation.as_deref() {
            Some("AuthorizeSecurityGroupIngress")
                if of_form(body, "DryRun").as_deref() != Some("true") =>
            {
                let group = of_form(body, "GroupId").unwrap_or_default();
                vec![format!("rules of {group} authorized")]
            }
            Some("PutItem" | "UpdateItem" | "DeleteItem" | "TransactWriteItems") => {
                serde_json::from_slice(body)
                    .map(|body| records(&body))
                    .unwrap_or_default()
            }
            _ => Vec::new(),
        };
        Self {
            endpoint: endpoint(request.uri()),
            service: service.map(str::to_owned),
            region: region.map(str::to_owned),
            operation,
            writes,
        }
    }

    /// The service as people call it.
    pub(crate) fn service_name(&self) -> &str {
        match self.service.as_deref() {
            Some("ec2") => "EC2",
            Some("sts") => "STS",
            Some("dynamodb") => "DynamoDB",
            Some("lambda") => "Lambda",
            Some("events") => "EventBridge",
            Some("cloudtrail") => "CloudTrail",
            Some("sqs") => "SQS",
            Some("sns") => "SNS",
            Some(other) => other,
            None => "the login service",
        }
    }
}

/// `https://host:port` of a URL.
fn endpoint(uri: &str) -> String {
    let (scheme, rest) = uri.split_once("://").unwrap_or(("", uri));
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    format!("{scheme}://{host}")
}

/// A field of a form. Those that are read here hold no escaped character.
fn of_form(body: &[u8], name: &str) -> Option<String> {
    let text = str::from_utf8(body).ok()?;
    if text.starts_with('{') {
        return None;
    }
    let fields = text.split('&').filter_map(|field| field.split_once('='));
    let mut named = fields.filter(|(field, _)| *field == name);
    named.next().map(|(_, value)| value.to_owned())
}

/// The records and settings that a write of DynamoDB is about. States, incidents and history follow from them.
fn records(body: &Value) -> Vec<String> {
    let mut found = Vec::new();
    collect(body, &mut found);
    found.dedup();
    found
}

fn collect(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Array(values) => values.iter().for_each(|value| collect(value, found)),
        Value::Object(fields) => {
            let key = |name: &str| fields.get(name)?.get("S")?.as_str();
            match (key("pk"), key("sk")) {
                (Some(pk), Some(group)) if pk.starts_with("desired#") => {
                    found.push(format!("the record of {group} written"));
                }
                (Some("settings"), Some("settings")) => {
                    found.push("the settings for all groups written".to_owned());
                }
                _ => {
                    let parts = fields.iter().filter(|(name, _)| *name != "ConditionCheck");
                    parts.for_each(|(_, value)| collect(value, found));
                }
            }
        }
        _ => {}
    }
}

/// Error code and message of an answer that refuses: JSON, or the XML of EC2 and of the query protocol.
pub(super) fn refusal(header: Option<&str>, body: &[u8]) -> Option<(String, String)> {
    let text = str::from_utf8(body).unwrap_or_default();
    let of_xml = |name: &str| {
        let (open, close) = (format!("<{name}>"), format!("</{name}>"));
        let inner = text.split(&open).nth(1)?.split(&close).next()?;
        Some(unescaped(inner))
    };
    let json: Value = serde_json::from_str(text).unwrap_or_default();
    let of_json = |names: [&str; 2]| {
        let mut found = names.iter().filter_map(|name| json.get(name)?.as_str());
        found.next().map(str::to_owned)
    };
    let code = header.map(str::to_owned);
    let code = code
        .or_else(|| of_json(["__type", "code"]))
        .or_else(|| of_xml("Code"))?;
    // `com.amazonaws.dynamodb.v20120810#ResourceNotFoundException`, `ResourceNotFoundException:http://…`
    let code = code.rsplit('#').next().unwrap_or_default();
    let code = code.split(':').next().unwrap_or_default();
    let code = code.trim_start_matches("Client.").to_owned();
    let message = of_json(["message", "Message"]).or_else(|| of_xml("Message"));
    Some((code, message.unwrap_or_default()))
}

fn unescaped(text: &str) -> String {
    let pairs = [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&apos;", "'"),
        ("&amp;", "&"),
    ];
    pairs
        .iter()
        .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

#[cfg(test)]
impl Asked {
    /// A call of this operation.
    pub(crate) fn example(service: &str, operation: &str) -> Self {
        Self {
            endpoint: "https://x.example".to_owned(),
            service: Some(service.to_owned()),
            region: Some("eu-west-1".to_owned()),
            operation: Some(operation.to_owned()),
            writes: Vec::new(),
        }
    }
}
