//! Debian's kernels: downloaded and unpacked into the cache, never installed.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{process, tree};

/// A kernel series that whywait is tested on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Series {
    /// Debian 12's own: the oldest with every tracepoint of the default mode's fall-back.
    #[value(name = "6.1")]
    V6_1,
    /// Debian 12's security archive carries Debian 13's as well.
    #[value(name = "6.12")]
    V6_12,
}

impl Series {
    /// All of them, oldest first.
    pub const ALL: [Self; 2] = [Self::V6_1, Self::V6_12];

    /// The package that depends on the newest kernel of the series.
    fn meta_package(self) -> &'static str {
        match self {
            Self::V6_1 => "linux-image-amd64",
            Self::V6_12 => "linux-image-6.12-amd64",
        }
    }

    /// What the names of its kernel packages begin with.
    fn package_prefix(self) -> &'static str {
        match self {
            Self::V6_1 => "linux-image-6.1.",
            Self::V6_12 => "linux-image-6.12.",
        }
    }
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V6_1 => "6.1",
            Self::V6_12 => "6.12",
        })
    }
}

/// An unpacked kernel package.
pub struct Kernel {
    /// Its release, as `uname -r` tells it.
    pub release: String,
    dir: PathBuf,
}

impl Kernel {
    /// The kernel of a series from the cache, or else from Debian's archive.
    ///
    /// # Errors
    /// When it is not in the cache and apt cannot find or fetch it.
    pub fn fetch(series: Series) -> Result<Self> {
        let cache = tree::cache("kernels")?;
        if let Some(kernel) = Self::cached(&cache, series)? {
            return Ok(kernel);
        }
        let package = newest_package(series)?;
        let work = tempfile::tempdir_in(&cache).context("cannot create a folder in the cache")?;
        // As root, apt would fetch as a user that may not write into this folder.
        let mut download = Command::new("apt-get");
        download
            .args(["download", "--quiet", "-o", "APT::Sandbox::User=root", &package])
            .current_dir(work.path());
        process::run(&mut download).with_context(|| {
            format!("cannot fetch {package}: this needs Debian 12's archives, reachable from here")
        })?;
        let archive = find_file(work.path(), &|name| {
            Path::new(name).extension().is_some_and(|extension| extension == "deb")
        })
        .with_context(|| format!("apt-get fetched no file for {package}"))?;
        let unpacked = work.path().join("unpacked");
        process::run(Command::new("dpkg").arg("-x").arg(&archive).arg(&unpacked))?;
        // Renamed only when complete, so that an interrupted run leaves no half kernel behind.
        let dir = cache.join(&package);
        fs::rename(&unpacked, &dir).with_context(|| format!("cannot store {package} in the cache"))?;
        Self::at(dir, &package)
    }

    fn cached(cache: &Path, series: Series) -> Result<Option<Self>> {
        let entries = fs::read_dir(cache).context("cannot list the kernel cache")?;
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let newest = names
            .filter(|name| name.starts_with(series.package_prefix()))
            .max_by_key(|name| version_key(name));
        newest.map(|name| Self::at(cache.join(&name), &name)).transpose()
    }

    fn at(dir: PathBuf, package: &str) -> Result<Self> {
        let Some(release) = package.strip_prefix("linux-image-") else {
            bail!("{package} is not the name of a kernel package");
        };
        Ok(Self { release: release.to_owned(), dir })
    }

    /// The kernel that a virtual machine boots.
    pub fn image(&self) -> PathBuf {
        self.dir.join("boot").join(format!("vmlinuz-{}", self.release))
    }

    /// A module's file, `NAME.ko` or `NAME.ko.xz`; none when the kernel has it built in or lacks it.
    pub fn module(&self, name: &str) -> Option<PathBuf> {
        let (plain, packed) = (format!("{name}.ko"), format!("{name}.ko.xz"));
        find_file(&self.dir.join("lib/modules"), &|file| file == plain || file == packed)
    }
}

fn newest_package(series: Series) -> Result<String> {
    let meta = series.meta_package();
    let listing = process::output(Command::new("apt-cache").args(["depends", meta]))?;
    kernel_dependency(&listing, series.package_prefix()).map(str::to_owned).with_context(|| {
        format!("apt knows no kernel {series} ({meta}): this needs Debian 12 with its security archive; run `apt-get update`")
    })
}

/// The kernel package in the output of `apt-cache depends`.
fn kernel_dependency<'a>(listing: &'a str, prefix: &str) -> Option<&'a str> {
    listing
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Depends: "))
        .find(|package| package.starts_with(prefix))
}

/// The numbers in a name, so that 6.1.0-56 sorts after 6.1.0-9.
fn version_key(name: &str) -> Vec<u32> {
    name.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect()
}

/// The first file below `dir` whose name is wanted.
fn find_file(dir: &Path, wanted: &dyn Fn(&str) -> bool) -> Option<PathBuf> {
    let mut folders = vec![dir.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).ok()?.flatten() {
            let path = entry.path();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(path);
            } else if entry.file_name().to_str().is_some_and(wanted) {
                return Some(path);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependency_is_read_from_apt() {
        let listing =
            "linux-image-6.12-amd64\n  Depends: linux-image-6.12.117+deb12-amd64\n  Recommends: firmware\n";
        let package = kernel_dependency(listing, Series::V6_12.package_prefix());
        assert_eq!(package, Some("linux-image-6.12.117+deb12-amd64"));
        assert_eq!(kernel_dependency(listing, Series::V6_1.package_prefix()), None);
    }

    /// Versions sort by number, not by letter.
    #[test]
    fn newest_is_by_number() {
        let names = ["linux-image-6.1.0-9-amd64", "linux-image-6.1.0-56-amd64", "linux-image-6.1.0-47-amd64"];
        let newest = names.into_iter().max_by_key(|name| version_key(name));
        assert_eq!(newest, Some("linux-image-6.1.0-56-amd64"));
    }
}
