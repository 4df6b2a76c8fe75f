//! What strangers wrote, made harmless.

/// JSON, without anything that could end the element that it stands in: these letters occur in strings alone.
pub(super) fn json(json: &str) -> String {
    json.replace('&', "\\u0026").replace('<', "\\u003c").replace('>', "\\u003e")
}

#[cfg(test)]
mod tests {
    use super::*;

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
