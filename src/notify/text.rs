//! Texts that others chose, where a line of a message shows them.

/// Maximum characters of a line.
const LINE_CHARS_MAX: usize = 200;

/// Whether a character ends a line, is invisible, or changes the direction of text behind it.
fn is_unprintable(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{200b}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
        )
}

/// A text as a single line: no character of it begins another line or header. Shortened to 200 characters.
pub(super) fn one_line(text: &str) -> String {
    let plain: String = text.chars().map(|c| if is_unprintable(c) { ' ' } else { c }).collect();
    let mut words = plain.split_whitespace();
    let mut line = words.next().unwrap_or_default().to_owned();
    for word in words {
        line.push(' ');
        line.push_str(word);
    }
    line.chars().take(LINE_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_character_begins_another_line() {
        for text in ["a\r\nBcc: b", "a\n\nBcc: b", "a\u{2028}Bcc: b", "a\u{0}\u{85}Bcc: b"] {
            assert_eq!(one_line(text), "a Bcc: b");
        }
        assert_eq!(one_line(" \u{202e}नई दिल्ली\u{2066} "), "नई दिल्ली");
        assert_eq!(one_line(&"é".repeat(300)).chars().count(), LINE_CHARS_MAX);
    }
}
