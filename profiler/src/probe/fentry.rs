//! Whether the kernel lets programs be attached to functions.

use aya::{programs::ProgramType, sys::is_program_supported};

/// Loads a program that would be attached to a function (fentry), which is what aya tries for tracing programs.
///
/// # Errors
/// Why it is not allowed.
pub fn fentry_works() -> Result<(), String> {
    match is_program_supported(ProgramType::Tracing) {
        Ok(true) => Ok(()),
        Ok(false) => Err("this kernel does not have it".to_owned()),
        Err(error) => Err(super::session::innermost(&error)),
    }
}
