//! Whether an endpoint's address can be used at all, before any call is made to it.

use crate::failure::Failure;

/// The variables that name endpoints, with the services that are called.
const VARIABLES: [&str; 9] = [
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_STS",
    "AWS_ENDPOINT_URL_DYNAMODB",
    "AWS_ENDPOINT_URL_EC2",
    "AWS_ENDPOINT_URL_LAMBDA",
    "AWS_ENDPOINT_URL_EVENTBRIDGE",
    "AWS_ENDPOINT_URL_CLOUDTRAIL",
    "AWS_ENDPOINT_URL_SQS",
    "AWS_ENDPOINT_URL_SNS",
];

/// Looks at the option, the variables and the profile's setting.
///
/// # Errors
/// When one of them is no URL.
pub(crate) fn check(option: Option<&str>, of_profile: Option<&str>) -> Result<(), Failure> {
    let named = |name: &'static str, value: Option<&str>| value.map(|it| (name, it.to_owned()));
    let variables = VARIABLES
        .iter()
        .filter_map(|name| Some((*name, std::env::var(name).ok()?)));
    let all = named("--endpoint-url", option)
        .into_iter()
        .chain(variables)
        .chain(named("the profile's endpoint_url", of_profile));
    for (name, url) in all {
        // The SDK takes an empty variable for an absent one.
        if url.is_empty() && name.starts_with("AWS_") {
            continue;
        }
        if let Some(fault) = fault(&url) {
            let message = format!("{name} is {url:?}, which is no endpoint: {fault}");
            let hint = "Give a URL such as https://ec2.eu-west-1.amazonaws.com or http://127.0.0.1:5000, or leave it out for \
                        AWS's own endpoints.";
            return Err(Failure::usage(message).hint(hint));
        }
    }
    Ok(())
}

/// What is wrong with a URL.
fn fault(url: &str) -> Option<String> {
    if url.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Some("it holds a space".to_owned());
    }
    let Some((scheme, rest)) = url.split_once("://") else {
        return Some("it does not begin with http:// or https://".to_owned());
    };
    if !["http", "https"].contains(&scheme.to_ascii_lowercase().as_str()) {
        return Some(format!("{scheme} is neither http nor https"));
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    // The colons of an IPv6 address stand in brackets.
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    if host.is_empty() {
        return Some("it names no host".to_owned());
    }
    match port.map(str::parse::<u16>) {
        Some(Err(_) | Ok(0)) => Some(format!("{} is no port", port.unwrap_or_default())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_url_is_told_from_what_is_one() {
        for url in [
            "http://127.0.0.1:5000",
            "HTTPS://ec2.eu-west-1.amazonaws.com/",
            "http://[::1]:80/x",
            "http://[::1]",
            "https://host",
        ] {
            assert_eq!(fault(url), None, "{url}");
        }
        for (url, said) in [
            ("127.0.0.1", "begin with http"),
            ("", "begin with http"),
            ("ftp://x", "ftp is neither"),
            ("http://", "no host"),
            ("http://:80", "no host"),
            ("http://x:http", "http is no port"),
            ("http://x:", "is no port"),
            ("http://a b", "a space"),
        ] {
            let fault = fault(url).unwrap_or_default();
            assert!(fault.contains(said), "{url}: {fault}");
        }
    }
}
