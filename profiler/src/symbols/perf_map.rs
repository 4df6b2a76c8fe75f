//! Names of code that a program makes while it runs, from the file that it writes for `perf`: one line a function, `START SIZE NAME`,
//! numbers hexadecimal (`tools/perf/Documentation/jit-interface.txt`).

use std::{
    io::{BufRead, BufReader, Read},
    path::Path,
};

use crate::platform::regular_file;

/// Bytes that are read; programs that compile for days have some ten million.
const LARGEST: u64 = 128 << 20;

/// The functions of such a file.
#[derive(Debug, Default)]
pub struct PerfMap {
    /// Start, size and name, by start; a later line of the file is behind an earlier one of the same start.
    functions: Vec<(u64, u64, String)>,
}

impl PerfMap {
    /// Reads the file, as far as it is of a size that makes sense; without one, no function. It lies in a folder that everybody may write to.
    pub fn open(path: &Path) -> Self {
        let file = regular_file::open_no_link(path);
        file.map(|file| Self::read(BufReader::new(file.take(LARGEST)))).unwrap_or_default()
    }

    pub(super) fn read(lines: impl BufRead) -> Self {
        let mut functions: Vec<(u64, u64, String)> = lines
            .split(b'\n')
            .map_while(Result::ok)
            .filter_map(|line| function(&String::from_utf8_lossy(&line)))
            .collect();
        functions.sort_by_key(|(start, _, _)| *start);
        Self { functions }
    }

    /// The function at an address.
    pub fn at(&self, address: u64) -> Option<&str> {
        let behind = self.functions.partition_point(|(start, _, _)| *start <= address);
        let (start, size, name) = self.functions[..behind].last()?;
        (address - start < *size).then_some(name)
    }
}

fn function(line: &str) -> Option<(u64, u64, String)> {
    let mut parts = line.splitn(3, ' ');
    let mut number = || u64::from_str_radix(parts.next()?.trim_start_matches("0x"), 16).ok();
    Some((number()?, number()?, parts.next()?.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_in_the_function_that_was_written_last() {
        let text = "100 10 old\nnonsense\n200 8 LazyCompile:*serve /srv/app.js:3\n100 20 new\n";
        let map = PerfMap::read(text.as_bytes());
        assert_eq!(map.at(0x11f), Some("new"));
        assert_eq!(map.at(0x207), Some("LazyCompile:*serve /srv/app.js:3"));
        assert_eq!((map.at(0x208), map.at(0xff)), (None, None));
    }
}
