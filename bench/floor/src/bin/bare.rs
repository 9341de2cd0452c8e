//! A function that makes the three calls of a restore with a plain HTTP client, unsigned, and reads nothing of the answers:
//! what the calls cost by themselves. Only the local stack answers it.

use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::{Value, json};

type Http = Client<HttpConnector, Full<Bytes>>;

/// The local stack knows callers by the key, and checks no signature.
const CREDENTIAL: &str = "AWS4-HMAC-SHA256 Credential=AKIALOCALOPERATOR000/20260101/eu-west-1/SERVICE/aws4_request, SignedHeaders=host;x-amz-date, Signature=00";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let http: Http = Client::builder(TokioExecutor::new()).build_http();
    let ec2 = std::env::var("AWS_ENDPOINT_URL_EC2")?;
    let table = std::env::var("AWS_ENDPOINT_URL_DYNAMODB")?;
    let restore = |event: LambdaEvent<Value>| {
        let (http, ec2, table) = (http.clone(), ec2.clone(), table.clone());
        async move { restored(&http, &ec2, &table, &event.payload).await }
    };
    lambda_runtime::run(service_fn(restore)).await
}

async fn restored(http: &Http, ec2: &str, table: &str, event: &Value) -> Result<Value, Error> {
    let detail = &event["detail"];
    let account = detail["recipientAccountId"].as_str().unwrap_or_default();
    let region = detail["awsRegion"].as_str().unwrap_or_default();
    let group = detail["requestParameters"]["groupId"]
        .as_str()
        .unwrap_or_default();
    let key = |pk: &str, sk: &str| json!({"pk": {"S": pk}, "sk": {"S": sk}});
    let keys = [
        key(&format!("desired#{account}#{region}"), group),
        key(&format!("state#{account}#{region}"), group),
        key("settings", "settings"),
    ];
    let name = std::env::var("RULEKEEPER_TABLE")?;
    let read = json!({"RequestItems": {name: {"ConsistentRead": true, "Keys": keys}}});
    let describe = format!(
        "Action=DescribeSecurityGroupRules&Version=2016-11-15&MaxResults=1000&Filter.1.Name=group-id&Filter.1.Value.1={group}"
    );
    let (read, live) = tokio::join!(
        call(http, table, "dynamodb", read.to_string()),
        call(http, ec2, "ec2", describe)
    );
    read?;
    live?;
    let mut authorize =
        format!("Action=AuthorizeSecurityGroupIngress&Version=2016-11-15&GroupId={group}");
    let dropped = detail["requestParameters"]["ipPermissions"]["items"].as_array();
    for (place, rule) in dropped.into_iter().flatten().enumerate() {
        let name = format!("&IpPermissions.{}", place + 1);
        let cidr = rule["ipRanges"]["items"][0]["cidrIp"].as_str();
        authorize += &format!("{name}.IpProtocol=tcp{name}.FromPort={}", rule["fromPort"]);
        authorize += &format!("{name}.ToPort={}", rule["toPort"]);
        authorize += &format!("{name}.IpRanges.1.CidrIp={}", cidr.unwrap_or_default());
    }
    call(http, ec2, "ec2", authorize).await?;
    Ok(Value::Null)
}

async fn call(http: &Http, url: &str, service: &str, body: String) -> Result<(), Error> {
    let kind = match service {
        "ec2" => "application/x-www-form-urlencoded",
        _ => "application/x-amz-json-1.0",
    };
    let mut request = Request::post(url)
        .header("content-type", kind)
        .header("x-amz-date", "20260101T000000Z")
        .header("authorization", CREDENTIAL.replace("SERVICE", service));
    if service == "dynamodb" {
        request = request.header("x-amz-target", "DynamoDB_20120810.BatchGetItem");
    }
    let answer = http.request(request.body(Full::from(body))?).await?;
    let status = answer.status();
    let body = answer.into_body().collect().await?.to_bytes();
    match status.is_success() {
        true => Ok(()),
        false => Err(format!("{service}: {status}: {}", String::from_utf8_lossy(&body)).into()),
    }
}
