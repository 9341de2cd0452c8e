//! Texts of others, in a length that a message can repeat.

use std::borrow::Cow;

/// The first characters of a text that has more of them.
pub fn head(text: &str, most: usize) -> Option<&str> {
    let (end, _) = text.char_indices().nth(most)?;
    Some(&text[..end])
}

/// The first characters of a text, and how many there were if some are missing.
pub fn shortened(text: &str, most: usize) -> Cow<'_, str> {
    match head(text, most) {
        None => text.into(),
        Some(head) => format!("{head}… ({} characters)", text.chars().count()).into(),
    }
}

/// The first of some texts, and how many `more` there are.
pub(crate) fn first_of(
    texts: impl ExactSizeIterator<Item = String>,
    most: usize,
    separator: &str,
    more: &str,
) -> String {
    let rest = texts.len().saturating_sub(most);
    let rest = (rest > 0).then(|| format!("{rest} {more}"));
    let texts: Vec<String> = texts.take(most).chain(rest).collect();
    texts.join(separator)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_says_how_long_it_was() {
        assert_eq!(shortened("héllo", 5), "héllo");
        assert_eq!(shortened("héllo!", 2), "hé… (6 characters)");
    }

    #[test]
    fn of_many_texts_the_first_are_named_and_the_rest_counted() {
        let first = |texts: &[&str]| {
            let texts = texts.iter().map(ToString::to_string);
            first_of(texts, 2, ", ", "more")
        };
        assert_eq!(first(&[]), "");
        assert_eq!(first(&["a", "b"]), "a, b");
        assert_eq!(first(&["a", "b", "c", "d"]), "a, b, 2 more");
    }
}
