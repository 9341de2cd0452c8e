use std::time::Instant;

use super::*;

fn asked(endpoint: &str) -> Asked {
    Asked {
        endpoint: endpoint.to_owned(),
        service: Some("ec2".to_owned()),
        region: Some("eu-west-1".to_owned()),
        operation: Some("AuthorizeSecurityGroupIngress".to_owned()),
        writes: vec!["rules of sg-0a authorized".to_owned()],
    }
}

fn long_ago() -> Option<Instant> {
    Instant::now().checked_sub(PATIENCE)
}

#[test]
fn an_endpoint_is_given_up_after_a_second_unless_it_ever_answered() {
    let mut known = Known::default();
    let here = asked("http://a:1");
    assert_eq!(known.begin(&here), None);
    assert!(!known.gives_up(&here, "refused"), "too early");
    let endpoint = known.endpoints.get_mut("http://a:1").expect("tried");
    endpoint.tried = long_ago();
    assert!(known.gives_up(&here, "refused"));
    assert_eq!(known.begin(&here).as_deref(), Some("refused"), "at once");
    assert_eq!(known.begin(&asked("http://b:1")), None, "another one");
    assert_eq!(known.troubles.len(), 1);
    known.answered(&here);
    assert!(known.troubles.is_empty() && known.begin(&here).is_none());
    assert!(!known.gives_up(&here, "refused"), "it answered once");
}

#[test]
fn what_was_written_is_told_apart_from_what_may_have_been() {
    let mut known = Known::default();
    let here = asked("http://a:1");
    known.begin(&here);
    assert_eq!(known.under_way, here.writes);
    known.end(&here, true);
    known.begin(&here);
    known.end(&here, false);
    assert_eq!((known.written, known.under_way), (here.writes, Vec::new()));
}

fn request(target: Option<&str>, body: &str) -> HttpRequest {
    let mut request = HttpRequest::new(SdkBody::from(body));
    request.set_uri("https://x.example:444/y?z").expect("a URI");
    if let Some(target) = target {
        request
            .headers_mut()
            .insert("x-amz-target", target.to_owned());
    }
    let signed = "AWS4-HMAC-SHA256 Credential=AKIA/20260101/eu-west-1/dynamodb/aws4_request, SignedHeaders=host";
    request.headers_mut().insert("authorization", signed);
    request
}

#[test]
fn requests_say_what_they_ask_for_and_write() {
    let read = Asked::of(&request(None, "Action=DescribeVpcs&Version=1"));
    assert_eq!(read.endpoint, "https://x.example:444");
    assert_eq!(
        (read.service_name(), read.region.as_deref()),
        ("DynamoDB", Some("eu-west-1"))
    );
    assert_eq!(read.operation.as_deref(), Some("DescribeVpcs"));
    assert!(read.writes.is_empty());
    let authorize = "Action=AuthorizeSecurityGroupIngress&Version=1&GroupId=sg-0a";
    let of = |target, body: &str| Asked::of(&request(target, body)).writes;
    assert_eq!(of(None, authorize), ["rules of sg-0a authorized"]);
    assert!(of(None, &format!("{authorize}&DryRun=true")).is_empty());
    let key = |pk: &str, sk: &str| format!(r#"{{"pk": {{"S": "{pk}"}}, "sk": {{"S": "{sk}"}}}}"#);
    let body = format!(
        r#"{{"TransactItems": [{{"ConditionCheck": {{"Key": {}}}}}, {{"Put": {{"Item": {}}}}}, {{"Put": {{"Item": {}}}}}]}}"#,
        key("desired#1#r", "sg-0b"),
        key("desired#1#r", "sg-0a"),
        key("history#1#r#sg-0a", "000000000001"),
    );
    let target = Some("DynamoDB_20120810.TransactWriteItems");
    assert_eq!(of(target, &body), ["the record of sg-0a written"]);
}

#[test]
fn refusals_are_read_in_each_protocol() {
    let read = |header, body: &str| asked::refusal(header, body.as_bytes());
    let is = |code: &str, message: &str| Some((code.to_owned(), message.to_owned()));
    let xml = "<Response><Errors><Error><Code>AuthFailure</Code><Message>a &amp; b</Message></Error></Errors></Response>";
    assert_eq!(read(None, xml), is("AuthFailure", "a & b"));
    let json = r#"{"__type": "com.amazonaws.dynamodb.v20120810#X", "message": "m"}"#;
    assert_eq!(read(None, json), is("X", "m"));
    assert_eq!(
        read(Some("Y:http://z"), r#"{"Message": "n"}"#),
        is("Y", "n")
    );
    assert_eq!(read(None, "<html>bad gateway</html>"), None);
}
