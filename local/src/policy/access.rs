//! What IAM is asked about a call: actions, resources and the keys of the request context (Service Authorization Reference).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::ec2::Params;
use crate::ids;

/// A request to be judged.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Access {
    /// The action, such as `dynamodb:PutItem`.
    pub action: String,
    /// The ARN of the resource; `None` for an action without resources, which only `*` allows.
    pub resource: Option<String>,
    /// The condition keys that the request has.
    pub context: BTreeMap<String, Vec<String>>,
}

impl Access {
    /// A request without condition keys.
    #[must_use]
    pub fn new(action: &str, resource: Option<String>) -> Self {
        Self {
            action: action.to_owned(),
            resource,
            context: BTreeMap::new(),
        }
    }

    fn with(mut self, key: &str, values: impl IntoIterator<Item = String>) -> Self {
        let values = values.into_iter().collect();
        self.context.insert(key.to_owned(), values);
        self
    }

    /// The role that the request would assume.
    pub(super) fn assumed_role(&self) -> Option<&str> {
        let assumes = self.action == "sts:AssumeRole";
        self.resource.as_deref().filter(|_| assumes)
    }
}

/// Where a call is made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) region: &'a str,
    pub(crate) account: &'a str,
}

impl Place<'_> {
    fn arn(self, service: &str, resource: &str) -> String {
        ids::arn(service, self.region, self.account, resource)
    }
}

type Asked = Result<Vec<Access>, String>;

/// The requests that a call of a query API is judged as.
///
/// # Errors
/// When it is not known what IAM is asked for this action.
pub(crate) fn of_form(service: &str, action: &str, params: &Params, place: Place<'_>) -> Asked {
    match (service, action) {
        // It needs no permission (AWS STS API Reference, GetCallerIdentity).
        ("sts", "GetCallerIdentity") => Ok(Vec::new()),
        ("sts", "AssumeRole") => {
            let role = params.text("RoleArn").map(str::to_owned);
            Ok(vec![Access::new("sts:AssumeRole", role)])
        }
        ("ec2", "AuthorizeSecurityGroupIngress") => Ok(authorize(action, params, place)),
        // Service Authorization Reference, "Actions defined by Amazon EC2".
        ("ec2", "GetManagedPrefixListEntries") => {
            let list = params.text("PrefixListId").unwrap_or("*");
            let list = place.arn("ec2", &format!("prefix-list/{list}"));
            Ok(vec![Access::new(&format!("ec2:{action}"), Some(list))])
        }
        ("ec2", action) if action.starts_with("Describe") => {
            Ok(vec![Access::new(&format!("ec2:{action}"), None)])
        }
        _ => unknown(service, action),
    }
}

/// The group, and for rules with tags the rules, which have no ids yet, and the tags.
fn authorize(action: &str, params: &Params, place: Place<'_>) -> Vec<Access> {
    let group = params.text("GroupId").unwrap_or("*");
    let group = place.arn("ec2", &format!("security-group/{group}"));
    let authorizes = |resource| Access::new(&format!("ec2:{action}"), Some(resource));
    let mut asked = vec![authorizes(group)];
    if params.has("TagSpecification") {
        let rules = place.arn("ec2", "security-group-rule/*");
        asked.push(authorizes(rules.clone()));
        let tags = Access::new("ec2:CreateTags", Some(rules));
        asked.push(tags.with("ec2:CreateAction", [action.to_owned()]));
    }
    asked
}

/// The requests that a call with a JSON body is judged as.
///
/// # Errors
/// When it is not known what IAM is asked for this action.
pub(crate) fn of_json(service: &str, action: &str, body: &Value, place: Place<'_>) -> Asked {
    match (service, action) {
        ("dynamodb", _) => of_table(action, body, place),
        // A batch is allowed by the action for one message (Amazon SQS Developer Guide, "Amazon SQS API permissions").
        ("sqs", "SendMessageBatch") => of_queue("SendMessage", body, place),
        ("sqs", _) => of_queue(action, body, place),
        ("events", "PutEvents") => {
            let entries = body["Entries"].as_array().into_iter().flatten();
            let buses = entries.map(|entry| entry["EventBusName"].as_str().unwrap_or("default"));
            let buses: BTreeSet<String> = buses
                .map(|bus| match bus.starts_with("arn:") {
                    true => bus.to_owned(),
                    false => place.arn("events", &format!("event-bus/{bus}")),
                })
                .collect();
            let asked = buses
                .into_iter()
                .map(|bus| Access::new("events:PutEvents", Some(bus)));
            Ok(asked.collect())
        }
        _ => unknown(service, action),
    }
}

fn unknown(service: &str, action: &str) -> Asked {
    Err(format!(
        "rulekeeper-local does not know what IAM is asked for {service}:{action}"
    ))
}

fn of_queue(action: &str, body: &Value, place: Place<'_>) -> Asked {
    let url = body["QueueUrl"].as_str().unwrap_or_default();
    let mut parts = url.rsplit('/');
    let (Some(name), Some(account)) = (parts.next(), parts.next()) else {
        return Err(format!("no queue has the URL {url:?}"));
    };
    let queue = Place { account, ..place }.arn("sqs", name);
    Ok(vec![Access::new(&format!("sqs:{action}"), Some(queue))])
}

/// A transaction is judged by the actions that it is made of (Amazon DynamoDB Developer Guide, "Using IAM with DynamoDB
/// transactions"), and so is a batch by its tables.
fn of_table(action: &str, body: &Value, place: Place<'_>) -> Asked {
    match action {
        "TransactWriteItems" => {
            let parts = body["TransactItems"].as_array().into_iter().flatten();
            let parts = parts.filter_map(Value::as_object).flatten();
            let asked = parts.map(|(kind, part)| match kind.as_str() {
                "ConditionCheck" => one_item("ConditionCheckItem", part, place),
                kind => one_item(&format!("{kind}Item"), part, place),
            });
            asked.collect()
        }
        "BatchGetItem" => {
            let tables = body["RequestItems"].as_object().into_iter().flatten();
            let asked = tables.map(|(table, read)| {
                let keys = read["Keys"].as_array().into_iter().flatten();
                let leading: BTreeSet<String> = keys.map(leading_key).collect::<Result<_, _>>()?;
                Ok(on_table(action, table, place)
                    .with("dynamodb:LeadingKeys", leading)
                    .with("dynamodb:Attributes", attributes(read)))
            });
            asked.collect()
        }
        "Query" => {
            let table = body["TableName"].as_str().unwrap_or_default();
            let access = on_table(action, table, place)
                .with("dynamodb:LeadingKeys", [queried_key(body)?])
                .with("dynamodb:Attributes", attributes(body));
            Ok(vec![access])
        }
        "GetItem" | "PutItem" | "UpdateItem" | "DeleteItem" => {
            Ok(vec![one_item(action, body, place)?])
        }
        _ => unknown("dynamodb", action),
    }
}

fn on_table(action: &str, table: &str, place: Place<'_>) -> Access {
    let arn = match table.starts_with("arn:") {
        true => table.to_owned(),
        false => place.arn("dynamodb", &format!("table/{table}")),
    };
    Access::new(&format!("dynamodb:{action}"), Some(arn))
}

fn one_item(action: &str, request: &Value, place: Place<'_>) -> Result<Access, String> {
    let table = request["TableName"].as_str().unwrap_or_default();
    let item = request.get("Item").or(request.get("Key"));
    let leading = leading_key(item.unwrap_or(&Value::Null))?;
    Ok(on_table(action, table, place)
        .with("dynamodb:LeadingKeys", [leading])
        .with("dynamodb:Attributes", attributes(request)))
}

/// The partition key of an item, which is `pk` in every table here.
fn leading_key(item: &Value) -> Result<String, String> {
    let key = item["pk"]["S"].as_str();
    key.map(str::to_owned)
        .ok_or_else(|| format!("the partition key of {item} is not found"))
}

/// The partition key that a query asks for.
fn queried_key(query: &Value) -> Result<String, String> {
    let condition = query["KeyConditionExpression"].as_str().unwrap_or_default();
    let words = words(condition);
    let mut words = words.skip_while(|word| resolved(word, query).as_deref() != Some("pk"));
    let value = words
        .nth(1)
        .map(|name| &query["ExpressionAttributeValues"][name]["S"]);
    let value = value.and_then(Value::as_str);
    value
        .map(str::to_owned)
        .ok_or_else(|| format!("the partition key of the query {condition:?} is not found"))
}

/// The top-level attributes that a request names, its keys and those of its expressions among them.
fn attributes(request: &Value) -> BTreeSet<String> {
    const EXPRESSIONS: [&str; 5] = [
        "ConditionExpression",
        "FilterExpression",
        "KeyConditionExpression",
        "ProjectionExpression",
        "UpdateExpression",
    ];
    let texts = EXPRESSIONS.iter().filter_map(|name| request[name].as_str());
    let named = texts
        .flat_map(words)
        .filter_map(|word| resolved(word, request));
    let keys = request["Keys"].as_array().into_iter().flatten();
    let items = keys.chain(["Item", "Key"].map(|name| &request[name]));
    let fields = items.filter_map(Value::as_object).flat_map(Map::keys);
    named.chain(fields.cloned()).collect()
}

/// The words of an expression, with the first step of each path only.
fn words(expression: &str) -> impl Iterator<Item = &str> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || "_#:.-".contains(c);
    let words = expression.split(move |c| !is_word(c));
    words
        .filter_map(|word| word.split('.').next())
        .filter(|word| !word.is_empty())
}

/// The attribute that a word of an expression names. Values, keywords, functions and indexes name none (Amazon DynamoDB
/// Developer Guide, "Expressions").
fn resolved(word: &str, request: &Value) -> Option<String> {
    const OTHERS: [&str; 19] = [
        "SET",
        "REMOVE",
        "ADD",
        "DELETE",
        "AND",
        "OR",
        "NOT",
        "IN",
        "BETWEEN",
        "attribute_exists",
        "attribute_not_exists",
        "attribute_type",
        "begins_with",
        "contains",
        "size",
        "if_not_exists",
        "list_append",
        "-",
        ".",
    ];
    if word.starts_with('#') {
        let name = &request["ExpressionAttributeNames"][word];
        return name.as_str().map(str::to_owned);
    }
    let names_none = word.starts_with(':')
        || word.bytes().all(|b| b.is_ascii_digit())
        || OTHERS.iter().any(|other| other.eq_ignore_ascii_case(word));
    (!names_none).then(|| word.to_owned())
}
