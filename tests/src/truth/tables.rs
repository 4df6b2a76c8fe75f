//! The measurements as tables in Markdown: a row for each model, a column for each route.

use super::accuracy::LEAST_PLANTED;
use super::measure::Cell;

/// From this on, in percent, planted time in a wrong place is told.
const TELL: f64 = 1.0;

/// One table for each question.
pub fn tables(cells: &[Cell]) -> String {
    let found = |cell: &Cell| {
        let a = &cell.accuracy;
        if a.is_exact() { a.found.to_string() } else { format!("**{} of {}**", a.found, a.answered) }
    };
    let placed = |cell: &Cell| {
        let a = &cell.accuracy;
        if a.planted < LEAST_PLANTED {
            return "–".to_owned();
        }
        let wrong = a.misplaced_percent();
        let wrong = if wrong >= TELL { format!(" ({wrong:.0} misplaced)") } else { String::new() };
        format!("{}{wrong}", judged(a.placed_percent(), 95.0))
    };
    [
        table("Requests found; as many as were answered, unless it says otherwise", cells, found),
        table("Latency within 2 % or 30 µs of the truth, % of the requests", cells, |cell| {
            judged(cell.accuracy.latency_percent(), 99.0)
        }),
        table("Planted time found in its state, %", cells, placed),
        table("The thread that answered is an owner, % of the requests", cells, |cell| {
            judged(cell.accuracy.owner_percent(), 99.0)
        }),
    ]
    .join("\n")
}

/// A percentage, bold where it is below the aim.
fn judged(percent: f64, aim: f64) -> String {
    let shown = format!("{percent:.1}");
    if percent >= aim { shown } else { format!("**{shown}**") }
}

fn table(title: &str, cells: &[Cell], show: impl Fn(&Cell) -> String) -> String {
    let mut routes: Vec<&str> = Vec::new();
    let mut models: Vec<&str> = Vec::new();
    for cell in cells {
        if !routes.contains(&cell.route) {
            routes.push(cell.route);
        }
        if !models.contains(&cell.model) {
            models.push(cell.model);
        }
    }
    let mut text = format!("{title}:\n\n| model |");
    text.extend(routes.iter().map(|route| format!(" {route} |")));
    text += "\n| --- |";
    text += &" ---: |".repeat(routes.len());
    for model in models {
        text.extend(["\n| ", model, " |"]);
        for route in &routes {
            let cell = cells.iter().find(|cell| (cell.model, cell.route) == (model, *route));
            text.extend([" ", &cell.map(&show).unwrap_or_default(), " |"]);
        }
    }
    text + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::truth::Accuracy;

    #[test]
    fn what_misses_its_aim_is_bold() {
        let accuracy = Accuracy {
            answered: 100,
            found: 99,
            joined: 99,
            latency_right: 99,
            owner_right: 50,
            planted: 10_000_000,
            placed: 8_000_000,
            misplaced: 2_000_000,
            ..Accuracy::default()
        };
        let text = tables(&[Cell { model: "gil", route: "/cpu", accuracy }]);
        assert!(text.contains("| model | /cpu |\n| --- | ---: |\n| gil | **99 of 100** |\n"), "{text}");
        assert!(
            text.contains("| gil | 100.0 |") && text.contains("| gil | **80.0** (20 misplaced) |"),
            "{text}"
        );
        assert!(text.contains("| gil | **50.5** |"), "{text}");
    }
}
