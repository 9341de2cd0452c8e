//! Incidents as one page for a browser: markup, style, script and data in a single file.
//!
//! The texts in an incident are anybody's: EC2's messages, names of principals, items that people edit. They go into the
//! page as JSON only, in a block that no browser runs, and with `<`, `>` and `&` spelled as escapes, so that none can end
//! the block. The script puts them on the page as text.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use rulekeeper_cli::operator::Incidents;
use rulekeeper_core::model::Scope;
use serde::Serialize;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::failure::Failure;

const TEMPLATE: &str = include_str!("../../assets/page/page.html");
const STYLE: &str = concat!(
    include_str!("../../assets/page/page.css"),
    include_str!("../../assets/page/list.css"),
);

/// The page's script, in one function, so that it leaves no name behind.
const SCRIPT: &str = concat!(
    "(() => {\n'use strict';\n",
    include_str!("../../assets/page/clock.js"),
    include_str!("../../assets/page/dom.js"),
    include_str!("../../assets/page/story.js"),
    include_str!("../../assets/page/entries.js"),
    include_str!("../../assets/page/share.js"),
    include_str!("../../assets/page/timeline.js"),
    include_str!("../../assets/page/list.js"),
    include_str!("../../assets/page/now.js"),
    include_str!("../../assets/page/page.js"),
    "})();\n",
);

/// The page of a scope's incidents at a time. Open incidents are drawn up to that time.
///
/// The data in it is the document that `--output json` shows.
///
/// # Errors
/// When the incidents cannot be written as JSON, which no incident from the table gives cause for.
pub(crate) fn page(
    scope: &Scope,
    found: &Incidents,
    document: &impl Serialize,
    now: Timestamp,
) -> Result<String, Failure> {
    let about = json!({
        "account": scope.account,
        "region": scope.region,
        "since": found.since,
        "written": now,
        "groups": found.groups,
        "version": env!("CARGO_PKG_VERSION"),
    });
    Ok(filled(&[
        ("policy", &policy(STYLE, SCRIPT)),
        ("style", STYLE),
        ("about", &embedded(&about)?),
        ("incidents", &embedded(document)?),
        ("script", SCRIPT),
    ]))
}

/// The template with its places filled in. It is gone through once, so a text that looks like a place stays a text.
fn filled(values: &[(&str, &str)]) -> String {
    let mut parts = TEMPLATE.split("{{");
    let mut page = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, rest) = part.split_once("}}").unwrap_or((part, ""));
        let value = values.iter().find(|(known, _)| *known == name);
        page += value.map_or("", |(_, value)| value);
        page += rest;
    }
    page
}

/// JSON that can stand in a script element. Outside of strings JSON has none of these characters, and inside an escape
/// means the same.
fn embedded(document: &impl Serialize) -> Result<String, Failure> {
    let text = serde_json::to_string(document).map_err(Failure::failed)?;
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                safe += &format!("\\u{:04x}", u32::from(c));
            }
            _ => safe.push(c),
        }
    }
    Ok(safe)
}

/// What the browser may do with the page: run and style it with exactly these texts, and nothing else. Without a network
/// there is nowhere for anything to go, and without trusted types no text can become markup.
fn policy(style: &str, script: &str) -> String {
    let hash = |text: &str| {
        format!(
            "'sha256-{}'",
            STANDARD.encode(Sha256::digest(text.as_bytes()))
        )
    };
    format!(
        "default-src 'none'; script-src {}; style-src {}; base-uri 'none'; form-action 'none'; \
         require-trusted-types-for 'script'; trusted-types 'none'",
        hash(script),
        hash(style)
    )
}

#[cfg(test)]
mod tests;
