//! Characters that steer a terminal, in texts that anybody may write.

use serde::Serialize;

use crate::paint::is_mark;

/// Whether a character steers a terminal, or the direction or the lines of text, and does not show: controls (C0, DEL,
/// C1), line and paragraph separators, bidirectional controls (Unicode Standard Annex 9), and invisible format
/// characters and tags, in which text can hide; and the marks of our own colours.
pub fn is_steering(c: char) -> bool {
    c.is_control()
        || is_mark(c)
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// A text of several lines without characters that steer a terminal: descriptions, notes, tags and messages are written
/// by anybody.
pub fn spelled_out(text: &str) -> String {
    replaced(text, |c| c.escape_default().to_string())
}

/// The same for a text of our own with marks of colour in it.
pub fn spelled_out_around_marks(text: &str) -> String {
    text.split_inclusive(is_mark)
        .map(|part| match part.strip_suffix(is_mark) {
            Some(words) => spelled_out(words) + &part[words.len()..],
            None => spelled_out(part),
        })
        .collect()
}

/// The text with another spelling of each steering character but line feeds.
pub fn replaced(text: &str, spelling: impl Fn(char) -> String) -> String {
    text.chars().fold(String::new(), |mut made, c| {
        match c != '\n' && is_steering(c) {
            true => made.push_str(&spelling(c)),
            false => made.push(c),
        }
        made
    })
}

/// A document in JSON, readable, with a line break at its end. Characters that steer a terminal are escaped. Only
/// strings can hold them, so the document stays the same.
pub fn json(document: &impl Serialize) -> serde_json::Result<String> {
    let text = serde_json::to_string_pretty(document)?;
    let text = replaced(&text, |c| {
        let mut units = [0; 2];
        let units = c.encode_utf16(&mut units).iter();
        units.map(|unit| format!("\\u{unit:04x}")).collect()
    });
    Ok(text + "\n")
}

/// The same in YAML. YAML lets through some characters that steer a terminal, so a document with any is written like JSON,
/// which is YAML too, with YAML's escapes.
///
/// # Errors
/// When a key is no text, which no document gives cause for.
pub fn yaml(document: &impl Serialize) -> Result<String, Box<dyn std::error::Error>> {
    let text = yaml_serde::to_string(document)?;
    if !text.chars().any(|c| c != '\n' && is_steering(c)) {
        return Ok(text);
    }
    let text = serde_json::to_string_pretty(document)?;
    let escape = |c| format!("\\U{:08x}", u32::from(c));
    Ok(replaced(&text, escape) + "\n")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json as value};

    use super::*;

    /// A control of each kind, and letters that are none.
    const HOSTILE: &str =
        "ä\u{1b}[2J\r\u{7f}\u{9b}31m\u{85}\u{2028}\u{202e}\u{2066}\u{200f}\u{feff}\u{e0041}é";

    #[test]
    fn text_keeps_its_lines_and_spells_out_what_steers_a_terminal() {
        let text = spelled_out(&format!("one\n{HOSTILE}\n"));
        assert_eq!(
            text,
            "one\nä\\u{1b}[2J\\r\\u{7f}\\u{9b}31m\\u{85}\\u{2028}\\u{202e}\\u{2066}\\u{200f}\\u{feff}\\u{e0041}é\n"
        );
    }

    #[test]
    fn our_own_marks_stay_and_those_of_others_are_spelled_out() {
        use crate::paint::{Tone, mark};
        let own = mark(Tone::Bad, "failed");
        assert_eq!(spelled_out_around_marks(&own), own);
        assert_eq!(spelled_out_around_marks(&(own.clone() + "\r")), own + "\\r");
        assert_eq!(spelled_out("a\u{fff2}b\u{fff8}"), "a\\u{fff2}b\\u{fff8}");
    }

    #[test]
    fn documents_hold_no_character_that_steers_a_terminal_and_stay_the_same() {
        let document = value!({"items": [{"description": HOSTILE, HOSTILE: 1}]});
        let text = json(&document).expect("serializes");
        assert!(
            !text.chars().any(|c| c != '\n' && is_steering(c)),
            "{text:?}"
        );
        assert!(
            text.contains("\\u202e") && text.contains("\\udb40\\udc41"),
            "{text}"
        );
        let read: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(read, document);
    }
}
