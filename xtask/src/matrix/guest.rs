//! A virtual machine with another kernel and the host's files.
//!
//! Emulated (TCG), so that it runs where no KVM is: a hundred times slower than the host, good for right and wrong and
//! for nothing that is timed. The guest sees the host's whole file system, read-only, under a layer in memory; no image
//! is made and every installed server is there.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::kernels::Kernel;
use crate::process;

/// What the first process needs to reach the host's files, in an order in which 6.1 resolves their symbols; and what the kernel would load by itself when
/// the tests ask for accept queues, if the guest had a folder of modules.
const MODULES: [&str; 13] = [
    "virtio_ring",
    "virtio",
    "virtio_pci_legacy_dev",
    "virtio_pci_modern_dev",
    "virtio_pci",
    "netfs",
    "fscache",
    "9pnet",
    "9pnet_virtio",
    "9p",
    "overlay",
    "inet_diag",
    "tcp_diag",
];
/// The busybox programs that the first process uses.
const APPLETS: [&str; 10] =
    ["sh", "mount", "insmod", "mkdir", "cat", "chroot", "reboot", "echo", "ifconfig", "sleep"];
const INIT: &str = include_str!("guest-init.sh");
const ENVIRONMENT: &str = "export HOME=/tmp TERM=dumb \
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n";

/// How a guest's command ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It ran to its end, with this status.
    Exited(i32),
    /// The machine stopped first: a panic of its kernel, or of its emulator.
    Died,
    /// It was still running, or had been silent for too long, when its time was up.
    TimedOut,
}

/// How long a guest may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// In all.
    pub whole: Duration,
    /// Without a line on its console: one that hangs, or that somebody has stopped, does not hold the others up.
    pub silent: Duration,
}

/// Boots `kernel`, runs a shell command in it as root and hands each line of the console to `line`.
///
/// # Errors
/// When the machine cannot be made or started. What happens inside it is an [`Outcome`].
pub fn run(kernel: &Kernel, command: &str, limits: Limits, mut line: impl FnMut(&str)) -> Result<Outcome> {
    let work = tempfile::tempdir().context("cannot create a temporary folder")?;
    let initrd = initrd(kernel, command, work.path())?;
    let mut machine =
        qemu(kernel, &initrd).spawn().context("cannot start qemu: run `cargo xtask setup --matrix`")?;
    let Some(console) = machine.stdout.take() else { bail!("qemu was started without a console") };

    let (sender, lines) = mpsc::channel();
    let reader = thread::spawn(move || {
        for read in BufReader::new(console).split(b'\n') {
            let Ok(bytes) = read else { break };
            let text = String::from_utf8_lossy(&bytes).trim_end_matches('\r').to_owned();
            if sender.send(text).is_err() {
                break;
            }
        }
    });
    let deadline = Instant::now() + limits.whole;
    let mut status = None;
    let outcome = loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match lines.recv_timeout(left.min(limits.silent)) {
            Ok(text) => match exit_status(&text) {
                Some(code) => status = Some(code),
                None => line(&text),
            },
            Err(RecvTimeoutError::Timeout) => break Outcome::TimedOut,
            Err(RecvTimeoutError::Disconnected) => break status.map_or(Outcome::Died, Outcome::Exited),
        }
    };
    stop(&mut machine)?;
    if reader.join().is_err() {
        bail!("the reader of the guest's console panicked");
    }
    Ok(outcome)
}

fn stop(machine: &mut Child) -> Result<()> {
    if machine.try_wait().context("cannot ask for the state of qemu")?.is_none() {
        machine.kill().context("cannot end qemu")?;
    }
    machine.wait().context("cannot wait for qemu")?;
    Ok(())
}

/// The status in the line with which the first process ends.
fn exit_status(line: &str) -> Option<i32> {
    line.strip_prefix("GUEST_RC=")?.trim().parse().ok()
}

fn qemu(kernel: &Kernel, initrd: &Path) -> Command {
    let mut command = Command::new("qemu-system-x86_64");
    // q35, not microvm, on which 6.1 hangs at times in its clock calibration.
    command
        // With a thread for each of its CPUs the emulator may run code that another CPU has just patched, as attaching to a tracepoint does: guests hung, or
        // met the breakpoint that was there for a moment.
        .args(["-M", "q35", "-accel", "tcg,thread=single", "-cpu", "max", "-smp", "2", "-m", "2048"])
        .args(["-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio", "-no-reboot"])
        .args(["-virtfs", "local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap"])
        .args(["-append", "console=ttyS0 quiet panic=-1 reboot=t"])
        .arg("-kernel")
        .arg(kernel.image())
        .arg("-initrd")
        .arg(initrd)
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    command
}

/// The file system that the first process sees: busybox, the modules and the command.
fn initrd(kernel: &Kernel, command: &str, work: &Path) -> Result<PathBuf> {
    let tree = work.join("tree");
    for dir in ["bin", "proc", "sys", "dev", "modules", "lower", "upper", "root"] {
        fs::create_dir_all(tree.join(dir)).context("cannot lay out the guest's first file system")?;
    }
    let busybox =
        process::find("busybox").context("busybox is not installed: run `cargo xtask setup --matrix`")?;
    fs::copy(busybox, tree.join("bin/busybox")).context("cannot copy busybox")?;
    for applet in APPLETS {
        std::os::unix::fs::symlink("busybox", tree.join("bin").join(applet))
            .context("cannot link busybox")?;
    }
    for (position, name) in MODULES.iter().enumerate() {
        if let Some(file) = kernel.module(name) {
            unpack_module(&file, &tree.join("modules").join(format!("{position:02}-{name}.ko")))?;
        }
    }
    fs::write(tree.join("init"), INIT).context("cannot write the guest's first program")?;
    fs::write(tree.join("command.sh"), format!("{ENVIRONMENT}{command}\n"))
        .context("cannot write the guest's command")?;
    let archive = work.join("initrd.gz");
    let pack = "chmod +x init && find . | cpio --create --format=newc --quiet | gzip -1";
    let file = File::create(&archive).context("cannot create the guest's archive")?;
    process::run(Command::new("sh").args(["-c", pack]).current_dir(&tree).stdout(file))?;
    Ok(archive)
}

/// busybox cannot load packed modules.
fn unpack_module(from: &Path, to: &Path) -> Result<()> {
    if from.extension().is_some_and(|extension| extension == "xz") {
        let file = File::create(to).with_context(|| format!("cannot create {}", to.display()))?;
        return process::run(Command::new("xz").args(["--decompress", "--stdout"]).arg(from).stdout(file));
    }
    fs::copy(from, to).with_context(|| format!("cannot copy {}", from.display()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_is_the_whole_line() {
        assert_eq!(exit_status("GUEST_RC=3"), Some(3));
        assert_eq!(exit_status("say GUEST_RC=3"), None);
        assert_eq!(exit_status("GUEST_RC="), None);
    }
}
