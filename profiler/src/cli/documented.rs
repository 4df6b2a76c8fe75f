//! Every command line of whywait in the documents is one that whywait understands.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::understands;

/// The README and the documents, without the records of decisions: those tell of their day.
fn documents() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut files: Vec<PathBuf> =
        ["README.md", "CONTRIBUTING.md"].iter().map(|name| root.join(name)).collect();
    let docs = fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    files.extend(docs.filter(|path| path.extension().is_some_and(|ending| ending == "md")));
    files.sort();
    files
}

/// Lines of the blocks of a shell's code, and those of other blocks that begin with a prompt; those that a backslash ends put together with what
/// follows.
fn lines_of_code(text: &str) -> Vec<String> {
    let (mut inside, mut shell, mut lines, mut open) = (false, false, Vec::<String>::new(), false);
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            inside = !inside;
            shell = line.trim() == "```sh";
        } else if inside && (shell || line.starts_with("$ ")) {
            let line = line.trim();
            let (line, goes_on) =
                line.strip_suffix('\\').map_or((line, false), |line| (line.trim_end(), true));
            match lines.last_mut().filter(|_| open) {
                Some(last) => last.extend([" ", line]),
                None => lines.push(line.to_owned()),
            }
            open = goes_on;
        }
    }
    lines
}

/// The words of a shell's command up to where it ends: at a comment, a pipe, an operator.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for letter in line.chars() {
        match (quote, letter) {
            (Some(open), letter) if letter == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None, '#' | '&' | '|' | '>' | ';') if word.is_none() || letter != '#' => break,
            (None, ' ') => words.extend(word.take()),
            (_, letter) => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    words
}

/// The arguments of whywait, its name first, where the line is a command of it.
fn whywait(line: &str) -> Option<Vec<String>> {
    let mut words = words(line.strip_prefix("$ ").unwrap_or(line));
    if words.first().is_some_and(|word| word == "sudo") {
        words.remove(0);
    }
    words.first().is_some_and(|word| word.rsplit('/').next() == Some("whywait")).then_some(words)
}

#[test]
fn words_are_those_of_a_shell() {
    let line = "$ sudo target/release/whywait explain --on 'p99>20ms' -p 1   # why";
    assert_eq!(whywait(line).unwrap()[1..], ["explain", "--on", "p99>20ms", "-p", "1"]);
    assert_eq!(whywait("whywait report f >out").unwrap(), ["whywait", "report", "f"]);
    assert_eq!(whywait("echo whywait"), None);
    assert_eq!(lines_of_code("a\n```sh\nb \\\n  c\nd\n```\ne"), ["b c", "d"]);
}

#[test]
fn documents_have_commands_that_are_understood() {
    let mut commands = 0;
    for document in documents() {
        for line in lines_of_code(&fs::read_to_string(&document).unwrap()) {
            let Some(words) = whywait(&line) else { continue };
            commands += 1;
            if let Err(error) = understands(words.iter().map(String::as_str)) {
                let harmless = matches!(
                    error.kind(),
                    clap::error::ErrorKind::DisplayHelp | clap::error::ErrorKind::DisplayVersion
                );
                assert!(harmless, "{}: `{line}`: {error}", document.display());
            }
        }
    }
    assert!(commands > 30, "only {commands} commands were found");
}
