//! Names of code as they were found: what a recording keeps, so that its stacks have names where the processes are gone.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{
    frame::{Frame, Place},
    report::Code,
};
use crate::units::Pid;

/// Functions at an address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// Process; 0: the kernel.
    pub pid: Pid,
    /// The address.
    pub address: u64,
    /// Its functions, those that are inlined there first.
    pub frames: Vec<Frame>,
}

/// Names that were found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NameTable(BTreeMap<(Pid, u64), Vec<Frame>>);

impl NameTable {
    /// Of these names; of the same address the last counts.
    pub fn new(names: Vec<Named>) -> Self {
        Self(names.into_iter().map(|named| ((named.pid, named.address), named.frames)).collect())
    }
}

/// The kernel's addresses are those of a process that there is not.
const KERNEL: Pid = Pid(0);
/// Addresses that are remembered.
const MOST: usize = 1 << 18;

/// Addresses whose names are wanted.
#[derive(Clone, Debug, Default)]
pub struct Addresses {
    all: BTreeSet<(Pid, u64)>,
    fresh: Vec<(Pid, u64)>,
}

impl Addresses {
    /// Takes those of a stack.
    pub fn add(&mut self, pid: Pid, kernel: &[u64], user: &[u64]) {
        if self.all.len() < MOST {
            let kernel = kernel.iter().map(|address| (KERNEL, *address));
            for address in kernel.chain(calls(user).map(|address| (pid, address))) {
                if self.all.insert(address) {
                    self.fresh.push(address);
                }
            }
        }
    }

    /// Looks all of them up.
    pub fn name(&self, code: &mut dyn Code) -> Vec<Named> {
        self.all.iter().map(|address| named(*address, code)).collect()
    }

    /// Looks those up that have come since the last call.
    pub fn name_fresh(&mut self, code: &mut dyn Code) -> Vec<Named> {
        self.fresh.drain(..).map(|address| named(address, code)).collect()
    }
}

fn named((pid, address): (Pid, u64), code: &mut dyn Code) -> Named {
    let frames = if pid == KERNEL { code.kernel(&[address]) } else { code.user(pid, address) };
    Named { pid, address, frames }
}

/// Addresses of the calls in a stack: a return address is that of the instruction behind the call, which may be another function's.
pub(super) fn calls(user: &[u64]) -> impl Iterator<Item = u64> + '_ {
    user.iter().enumerate().map(|(index, address)| address.saturating_sub(u64::from(index > 0)))
}

/// Names from the table; what is not in it has none.
impl Code for NameTable {
    fn kernel(&mut self, addresses: &[u64]) -> Vec<Frame> {
        let nameless = || Frame { name: None, place: Place::Kernel };
        let known = |address: &u64| self.0.get(&(KERNEL, *address))?.first().cloned();
        addresses.iter().map(|address| known(address).unwrap_or_else(nameless)).collect()
    }

    fn user(&mut self, pid: Pid, address: u64) -> Vec<Frame> {
        let nameless = || vec![Frame { name: None, place: Place::Memory }];
        self.0.get(&(pid, address)).cloned().unwrap_or_else(nameless)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::Trace;

    /// Has a name for each address but 9.
    struct Code9;

    impl Code for Code9 {
        fn kernel(&mut self, addresses: &[u64]) -> Vec<Frame> {
            let frame = |address: &u64| Frame { name: Some(format!("k{address}")), place: Place::Kernel };
            addresses.iter().map(frame).collect()
        }

        fn user(&mut self, _: Pid, address: u64) -> Vec<Frame> {
            let name = (address != 9).then(|| format!("u{address}"));
            let place = Place::File("server".to_owned());
            vec![Frame { name: Some("inlined".to_owned()), place: place.clone() }, Frame { name, place }]
        }
    }

    /// Of the same stacks the table makes the same frames as what it was filled from, also by way of a file.
    #[test]
    fn what_was_kept_names_the_same_stacks_alike() {
        let trace =
            |user: &[u64]| Trace { pid: Pid(7), kernel: vec![1, 2], user: user.to_vec(), ..Trace::default() };
        let traces = [trace(&[5, 6, 10]), trace(&[5]), trace(&[])];
        let live: Vec<_> = traces.iter().map(|trace| Code9.frames(trace)).collect();
        let mut addresses = Addresses::default();
        for trace in &traces {
            addresses.add(trace.pid, &trace.kernel, &trace.user);
        }
        assert_eq!(addresses.name_fresh(&mut Code9).len(), addresses.name(&mut Code9).len());
        assert_eq!(addresses.name_fresh(&mut Code9), []);
        let json = serde_json::to_string(&addresses.name(&mut Code9)).unwrap();
        let mut read = NameTable::new(serde_json::from_str(&json).unwrap());
        let replayed: Vec<_> = traces.iter().map(|trace| read.frames(trace)).collect();
        assert_eq!(replayed, live);
        assert_eq!(read.user(Pid(8), 5)[0].text(), "[unknown code]");
    }
}
