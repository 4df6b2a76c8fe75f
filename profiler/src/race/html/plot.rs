//! Plots as SVG. Colours are classes (`s0` to `s4`), which the page's style gives a light and a dark value.

use std::io::{self, Write};

use crate::{markup::escaped, race::column::Show};

/// Pixels of a plot's width; the page scales it.
const WIDTH: f64 = 640.0;
/// Of these, for the labels at the left…
const LEFT: f64 = 190.0;
/// …and for the figures at the right.
const RIGHT: f64 = 80.0;
/// Of a bar and the space below it.
const STEP: f64 = 24.0;
/// Of the plot of a sweep.
const HEIGHT: f64 = 260.0;
/// Classes of colours.
const COLOURS: usize = 5;

/// One figure of every row.
pub(super) struct Series {
    pub(super) name: &'static str,
    pub(super) values: Vec<f64>,
}

/// One server of a sweep.
pub(super) struct Line {
    pub(super) name: String,
    pub(super) points: Vec<(u16, f64)>,
}

fn begin(out: &mut dyn Write, title: &str, names: &[&str], height: f64) -> io::Result<()> {
    writeln!(out, "<figure><figcaption>{}", escaped(title))?;
    if names.len() > 1 {
        for (at, name) in names.iter().enumerate() {
            let colour = at % COLOURS;
            write!(out, " <span class=\"key\"><i class=\"s{colour}\"></i>{}</span>", escaped(name))?;
        }
    }
    writeln!(
        out,
        "</figcaption>\n<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{}\">",
        escaped(title)
    )
}

fn end(out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "</svg></figure>")
}

fn label(out: &mut dyn Write, text: &str, y: f64) -> io::Result<()> {
    writeln!(out, "<text class=\"end\" x=\"{}\" y=\"{:.1}\">{}</text>", LEFT - 8.0, y, escaped(text))
}

/// Horizontal bars, the series of a row end to end, and their sum.
pub(super) fn bars(
    out: &mut dyn Write,
    title: &str,
    labels: &[String],
    series: &[Series],
    show: Show,
) -> io::Result<()> {
    let sum = |at: usize| series.iter().map(|one| one.values[at]).sum::<f64>();
    let most = (0..labels.len()).map(sum).fold(0.0, f64::max);
    let scale = if most > 0.0 { (WIDTH - LEFT - RIGHT) / most } else { 0.0 };
    let names: Vec<&str> = series.iter().map(|one| one.name).collect();
    begin(out, title, &names, labels.len() as f64 * STEP + 4.0)?;
    for (at, name) in labels.iter().enumerate() {
        let (top, mut x) = (at as f64 * STEP, LEFT);
        label(out, name, top + 15.0)?;
        for (colour, one) in series.iter().enumerate() {
            let width = one.values[at] * scale;
            if width < 0.05 {
                continue;
            }
            writeln!(
                out,
                "<rect class=\"s{}\" x=\"{x:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"16\"><title>{}: {}</title></rect>",
                colour % COLOURS,
                top + 3.0,
                one.name,
                show.write(Some(one.values[at]))
            )?;
            x += width;
        }
        writeln!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            x + 6.0,
            top + 15.0,
            show.write(Some(sum(at)))
        )?;
    }
    end(out)
}

/// A mark for each series on a logarithmic axis of microseconds, joined in each row.
pub(super) fn spread(
    out: &mut dyn Write,
    title: &str,
    labels: &[String],
    series: &[Series],
) -> io::Result<()> {
    let all =
        || series.iter().flat_map(|one| &one.values).filter(|value| **value > 0.0).map(|value| value.log10());
    let (first, last) =
        (all().fold(f64::INFINITY, f64::min).floor(), all().fold(f64::NEG_INFINITY, f64::max).ceil());
    let (first, last) = if first < last { (first, last) } else { (0.0, 1.0) };
    let x = |value: f64| {
        LEFT + (value.max(1e-9).log10().max(first) - first) / (last - first) * (WIDTH - LEFT - RIGHT)
    };
    let names: Vec<&str> = series.iter().map(|one| one.name).collect();
    let bottom = labels.len() as f64 * STEP;
    begin(out, title, &names, bottom + 20.0)?;
    let mut decade = first;
    while decade <= last {
        let (value, text) = (x(10f64.powf(decade)), Show::Time.write(Some(10f64.powf(decade))));
        writeln!(out, "<line class=\"grid\" x1=\"{value:.1}\" x2=\"{value:.1}\" y1=\"0\" y2=\"{bottom}\"/>")?;
        writeln!(out, "<text class=\"mid\" x=\"{value:.1}\" y=\"{:.1}\">{text}</text>", bottom + 15.0)?;
        decade += 1.0;
    }
    for (at, name) in labels.iter().enumerate() {
        let y = at as f64 * STEP + 11.0;
        label(out, name, y + 4.0)?;
        let ends = || series.iter().map(|one| x(one.values[at]));
        let (from, to) = (ends().fold(f64::INFINITY, f64::min), ends().fold(0.0, f64::max));
        writeln!(out, "<line class=\"join\" x1=\"{from:.1}\" x2=\"{to:.1}\" y1=\"{y}\" y2=\"{y}\"/>")?;
        for (colour, one) in series.iter().enumerate() {
            writeln!(
                out,
                "<circle class=\"s{}\" cx=\"{:.1}\" cy=\"{y}\" r=\"5\"><title>{}: {}</title></circle>",
                colour % COLOURS,
                x(one.values[at]),
                one.name,
                Show::Time.write(Some(one.values[at]))
            )?;
        }
    }
    end(out)
}

/// A line for each server over the values of a sweep, which are evenly apart.
pub(super) fn lines(out: &mut dyn Write, title: &str, lines: &[Line], show: Show) -> io::Result<()> {
    let mut values: Vec<u16> =
        lines.iter().flat_map(|line| line.points.iter().map(|point| point.0)).collect();
    values.sort_unstable();
    values.dedup();
    let most = lines.iter().flat_map(|line| line.points.iter().map(|point| point.1)).fold(0.0, f64::max);
    let (left, bottom, top) = (80.0, HEIGHT - 30.0, 20.0);
    let step = (WIDTH - left - 40.0) / (values.len().max(2) - 1) as f64;
    let x = |value: u16| left + values.iter().position(|other| *other == value).unwrap_or(0) as f64 * step;
    let y = |figure: f64| if most > 0.0 { bottom - figure / most * (bottom - top) } else { bottom };
    let names: Vec<&str> = lines.iter().map(|line| &*line.name).collect();
    begin(out, title, &names, HEIGHT)?;
    for part in [0.0, 0.25, 0.5, 0.75, 1.0] {
        let (height, text) = (y(most * part), show.write(Some(most * part)));
        writeln!(
            out,
            "<line class=\"grid\" x1=\"{left}\" x2=\"{}\" y1=\"{height:.1}\" y2=\"{height:.1}\"/>\
             <text class=\"end\" x=\"{}\" y=\"{:.1}\">{text}</text>",
            WIDTH - 40.0,
            left - 8.0,
            height + 4.0
        )?;
    }
    for value in &values {
        writeln!(
            out,
            "<text class=\"mid\" x=\"{:.1}\" y=\"{:.1}\">{value}</text>",
            x(*value),
            bottom + 20.0
        )?;
    }
    for (at, line) in lines.iter().enumerate() {
        let colour = at % COLOURS;
        let path: Vec<String> =
            line.points.iter().map(|(value, figure)| format!("{:.1},{:.1}", x(*value), y(*figure))).collect();
        writeln!(out, "<polyline class=\"l{colour}\" points=\"{}\"/>", path.join(" "))?;
        for (value, figure) in &line.points {
            writeln!(
                out,
                "<circle class=\"s{colour}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"4\"><title>{} {value}: {}</title></circle>",
                x(*value),
                y(*figure),
                escaped(&line.name),
                show.write(Some(*figure))
            )?;
        }
    }
    end(out)
}
