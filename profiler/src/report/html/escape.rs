//! What strangers wrote, made harmless.

/// The text as HTML, between tags or in an attribute.
pub(super) fn text(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            letter => html.push(letter),
        }
    }
    html
}

/// The same JSON, without anything that could end the element that it stands in: these letters occur in strings alone.
pub(super) fn json(json: &str) -> String {
    json.replace('&', "\\u0026").replace('<', "\\u003c").replace('>', "\\u003e")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_become_a_tag_or_leave_an_attribute() {
        assert_eq!(
            text("<script a=\"b\" c='d'>&amp;"),
            "&lt;script a=&quot;b&quot; c=&#39;d&#39;&gt;&amp;amp;"
        );
    }

    proptest::proptest! {
        /// No string ends the block, or begins a comment in it; and what is read from it is what was written.
        #[test]
        fn any_string_stays_in_its_block_and_stays_what_it_is(string: String, at in 0_usize..4) {
            let string = format!("{}{string}", ["</script>", "<!--", "<script", "]]>"][at]);
            let escaped = json(&serde_json::to_string(&string).unwrap());
            proptest::prop_assert!(!escaped.contains(['<', '>', '&']));
            proptest::prop_assert_eq!(serde_json::from_str::<String>(&escaped).unwrap(), string);
        }
    }
}
