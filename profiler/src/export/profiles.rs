//! Profiles by route and state in the forms of flame-graph programs: text, and a picture.

use std::io::Write;

use super::{End, ExportError, Exporter, svg::write_svg};
use crate::stacks::write_folded;

/// A form of the profiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A line for each stack: `route;state;frame;frame… microseconds`.
    Folded,
    /// A picture of them.
    Svg,
}

/// Writes the profiles when the recording has been read.
pub struct Profiles<W> {
    form: Form,
    title: String,
    out: W,
}

impl<W: Write + Send> Profiles<W> {
    /// Profiles of a target of this name.
    pub fn new(form: Form, title: String, out: W) -> Self {
        Self { form, title, out }
    }
}

impl<W: Write + Send> Exporter for Profiles<W> {
    fn finish(mut self: Box<Self>, end: End<'_>) -> Result<(), ExportError> {
        let stacks = end.stacks_of_routes();
        match self.form {
            Form::Folded => write_folded(&stacks, &mut self.out)?,
            Form::Svg => write_svg(&stacks, &self.title, &mut self.out)?,
        }
        Ok(self.out.flush()?)
    }
}
