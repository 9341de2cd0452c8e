//! Lines that fit a terminal.

/// The width of every terminal.
const WIDTH: usize = 80;

/// Words in lines of at most 80 characters, those after the first indented by so much; a word that is longer is cut into
/// parts. `head` stands before the first word.
pub(super) fn words(head: &str, text: &str, indent: usize) -> String {
    let room = WIDTH - indent;
    let gap = " ".repeat(indent);
    let (mut lines, mut line) = (Vec::new(), head.to_owned());
    // Nothing stands on the line that a word would have to be set apart from.
    let mut fresh = true;
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let length = |text: &str| text.chars().count();
        let apart = usize::from(!fresh);
        if length(&line) + apart + length(word) <= WIDTH {
            if !fresh {
                line.push(' ');
            }
            line += word;
        } else {
            if !fresh {
                lines.push(std::mem::replace(&mut line, gap.clone()));
            }
            let mut rest: Vec<char> = word.chars().collect();
            while length(&line) + rest.len() > WIDTH {
                let left = WIDTH.saturating_sub(length(&line)).clamp(1, room);
                let next = rest.split_off(left.min(rest.len()));
                line.extend(std::mem::replace(&mut rest, next));
                lines.push(std::mem::replace(&mut line, gap.clone()));
            }
            line.extend(rest);
        }
        fresh = false;
    }
    lines.push(line);
    lines.join("\n") + "\n"
}

/// A command, indented, broken between its words so that it can be copied: a backslash ends each line but the last. What is
/// quoted stays whole.
pub(super) fn command(text: &str, indent: usize) -> String {
    let gap = " ".repeat(indent);
    let (mut lines, mut line) = (Vec::new(), gap.clone());
    for word in units(&shell_words(text)) {
        let fresh = line.trim().is_empty();
        let length = line.chars().count() + word.chars().count();
        // Room for the space before the word, and for the backslash after the next.
        if !fresh && length + 3 > WIDTH {
            lines.push(std::mem::replace(&mut line, format!("{gap}  ")) + " \\");
        } else if !fresh {
            line.push(' ');
        }
        line += &word;
    }
    lines.push(line);
    lines.join("\n") + "\n"
}

/// Each option with the word after it, as far as both fit a line.
fn units(words: &[&str]) -> Vec<String> {
    let mut units: Vec<String> = Vec::new();
    let mut open = false;
    for word in words {
        let is_option = word.starts_with("--");
        match units.last_mut() {
            Some(last)
                if open && !is_option && last.chars().count() + word.chars().count() < 68 =>
            {
                *last += &format!(" {word}");
            }
            _ => units.push((*word).to_owned()),
        }
        open = is_option;
    }
    units
}

/// The words of a command, with their quotes.
fn shell_words(text: &str) -> Vec<&str> {
    let (mut words, mut begin, mut quote) = (Vec::new(), 0, None);
    for (place, c) in text.char_indices() {
        match (c, quote) {
            (' ', None) => {
                words.push(&text[begin..place]);
                begin = place + 1;
            }
            ('\'' | '"', None) => quote = Some(c),
            (c, Some(open)) if c == open => quote = None,
            _ => {}
        }
    }
    words.push(&text[begin..]);
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_fit_and_lose_nothing() {
        let arn = format!("arn:aws:sts::111122223333:assumed-role/{}", "x".repeat(90));
        let text = format!("one two {arn} {}", "word ".repeat(40));
        let lines = words("ok ", &text, 4);
        assert!(
            lines.lines().all(|line| line.chars().count() <= 80),
            "{lines}"
        );
        assert!(
            lines.lines().skip(1).all(|line| line.starts_with("    ")),
            "{lines}"
        );
        let bare = |text: &str| text.split_whitespace().collect::<String>();
        assert_eq!(bare(&lines), bare(&format!("ok {text}")));
        assert_eq!(words("ok ", "a b", 4), "ok a b\n");
    }

    #[test]
    fn a_command_can_be_copied() {
        let text = format!(
            "aws x --y {} --z '[{{\"A\": \"b\", \"C\": true}}]' --region eu-west-1",
            "y".repeat(50)
        );
        let lines = command(&text, 4);
        assert!(
            lines.lines().all(|line| line.chars().count() <= 80),
            "{lines}"
        );
        assert!(lines.contains("'[{\"A\": \"b\", \"C\": true}]'"), "{lines}");
        let joined = lines.replace("\\\n", "");
        let bare = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(bare(&joined), bare(&text));
    }
}
