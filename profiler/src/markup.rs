//! What strangers wrote, made harmless for HTML, SVG and XML.

/// The text between tags or in an attribute. XML has no way to write control characters; lines and tabs stay.
pub fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            '\n' | '\t' => safe.push(letter),
            letter if letter.is_control() => safe.push('\u{fffd}'),
            letter => safe.push(letter),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_become_a_tag_or_leave_an_attribute() {
        assert_eq!(
            escaped("<script a=\"b\" c='d'>&amp;\u{1b}\n"),
            "&lt;script a=&quot;b&quot; c=&#39;d&#39;&gt;&amp;amp;\u{fffd}\n"
        );
    }
}
