//! What of a snapshot is looked at: the span of time, and its columns.

use std::sync::Arc;

use super::theme::Theme;
use crate::{
    live::{Bucket, LENGTH, Snapshot, Span},
    units::Ns,
};

/// Buckets in a column of a chart, by zoom.
pub const ZOOM: [usize; 7] = [1, 2, 4, 10, 20, 40, 60];
/// Columns that the numbers are about.
const NUMBERS: usize = 20;

/// What is looked at.
pub struct View<'a> {
    /// The snapshot.
    pub snapshot: &'a Snapshot,
    /// Colours.
    pub theme: Theme,
    /// Buckets up to the moment that is looked at.
    pub buckets: &'a [Arc<Bucket>],
    /// Buckets in a column.
    pub zoom: usize,
    /// What the numbers are about.
    pub span: Span,
    /// The text that rows must contain.
    pub filter: &'a str,
    /// The chosen row.
    pub chosen: usize,
    /// Another list or order.
    pub switched: bool,
}

impl<'a> View<'a> {
    /// What is looked at, `back` buckets before the newest.
    pub fn new(snapshot: &'a Snapshot, theme: Theme, back: usize, zoom: usize) -> Self {
        let zoom = ZOOM[zoom.min(ZOOM.len() - 1)];
        let until = snapshot.buckets.len().saturating_sub(back);
        let buckets = &snapshot.buckets[..until.max(1).min(snapshot.buckets.len())];
        let last = buckets.last().map_or(0, |last| snapshot.at.since(last.begin));
        let numbers = &buckets[buckets.len().saturating_sub(NUMBERS * zoom)..];
        let span = Span::of(numbers, last);
        Self { snapshot, theme, buckets, zoom, span, filter: "", chosen: 0, switched: false }
    }

    /// Buckets that the numbers are about.
    pub fn numbers(&self) -> &'a [Arc<Bucket>] {
        &self.buckets[self.buckets.len().saturating_sub(NUMBERS * self.zoom)..]
    }

    /// Their time, in words.
    pub fn numbers_words(&self) -> String {
        format!("last {:.0} s", (NUMBERS * self.zoom) as f64 * LENGTH as f64 / 1e9)
    }

    /// Buckets column by column, for a chart of so many columns; the newest is at the right. Columns begin at whole multiples of their
    /// length, so that a picture moves on by columns and does not change otherwise.
    pub fn columns(&self, width: usize) -> Vec<&'a [Arc<Bucket>]> {
        let Some(last) = self.buckets.last() else { return Vec::new() };
        let first = self.buckets[0].number as usize;
        let newest = last.number as usize / self.zoom;
        let mut columns = Vec::with_capacity(width);
        for column in (newest + 1).saturating_sub(width)..=newest {
            let (from, to) = (column * self.zoom, (column + 1) * self.zoom);
            let from = from.max(first) - first;
            let to = to.max(first) - first;
            columns.push(&self.buckets[from.min(self.buckets.len())..to.min(self.buckets.len())]);
        }
        columns
    }

    /// Seconds between a moment and the newest in the picture.
    pub fn ago(&self, at: Ns) -> f64 {
        self.snapshot.at.since(at) as f64 / 1e9
    }

    /// Whether a row is to be shown.
    pub fn wants(&self, text: &str) -> bool {
        self.filter.is_empty() || text.to_lowercase().contains(&self.filter.to_lowercase())
    }
}
