//! What has to be allowed before anything is started or attached.

use anyhow::{Result, bail};

use crate::platform::caps::{Capability, Privileges};

/// Fails in one sentence when whywait may not trace at all.
///
/// # Errors
/// When a capability is missing that no tracing goes without, or the capabilities cannot be read.
pub fn check() -> Result<()> {
    let missing = Privileges::read()?.missing_for_tracing();
    if !missing.is_empty() {
        bail!("not allowed to trace, for want of {}; {REMEDY}", names(&missing));
    }
    Ok(())
}

/// How the missing capabilities are got.
pub const REMEDY: &str = "run whywait as root (sudo whywait …), or give the program what tracing needs (sudo setcap \
                          cap_bpf,cap_perfmon+ep WHYWAIT)";

/// Capabilities in words: `CAP_BPF`, `CAP_BPF and CAP_PERFMON`.
pub fn names(capabilities: &[Capability]) -> String {
    let names: Vec<String> = capabilities.iter().map(Capability::to_string).collect();
    match names.as_slice() {
        [first @ .., last] if !first.is_empty() => format!("{} and {last}", first.join(", ")),
        _ => names.concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_listed_in_words() {
        assert_eq!(names(&[Capability::Bpf]), "CAP_BPF");
        assert_eq!(names(&Capability::ALL[..3]), "CAP_BPF, CAP_PERFMON and CAP_SYS_ADMIN");
    }
}
