//! Enumerators, tracepoints, and types as they are written in C.

use super::member::check_depth;
use super::raw::Kind;
use super::{Btf, BtfError};

impl Btf {
    /// The value of the enumerator `name` of the enumeration (or typedef of one) called `owner`. An unsigned 64-bit
    /// value is given by its bits.
    ///
    /// # Errors
    /// When there is no such enumeration or enumerator, or the enumeration's name is ambiguous.
    pub fn enum_value(&self, owner: &str, name: &str) -> Result<i64, BtfError> {
        let found = match self.unique(owner, Kind::is_enum)? {
            Some(found) => Some(found),
            None => self
                .unique(owner, |kind| kind == Kind::Typedef)?
                .map(|found| self.resolve(found.id))
                .transpose()?,
        };
        let found = found.filter(|found| found.kind.is_enum());
        let found = found.ok_or_else(|| BtfError::NoType { kind: "enum", name: owner.to_owned() })?;
        for enumerator in found.enumerators(&self.bytes) {
            let (text, value) = enumerator?;
            if self.bytes_at_name(text)? == name.as_bytes() {
                return Ok(value);
            }
        }
        Err(BtfError::NoEnumerator { owner: owner.to_owned(), name: name.to_owned() })
    }

    /// The types of the arguments that a BTF (or raw) tracepoint hands to its programs, in order, as written in C:
    /// `["bool", "struct task_struct *", …]`. From the kernel's `typedef void (*btf_trace_NAME)(void *, …)`
    /// (`include/trace/bpf_probe.h`); its first argument is the tracepoint's own and is left out.
    ///
    /// # Errors
    /// When this kernel does not have the tracepoint, or has two of that name with different arguments.
    pub fn tracepoint_args(&self, tracepoint: &str) -> Result<Vec<String>, BtfError> {
        let name = format!("btf_trace_{tracepoint}");
        let mut args: Option<Vec<String>> = None;
        for typedef in self.named(&name, |kind| kind == Kind::Typedef)? {
            let pointer = self.resolve(typedef.id)?;
            let proto = if pointer.kind == Kind::Ptr { self.resolve(pointer.size_or_ref)? } else { pointer };
            if proto.kind != Kind::FuncProto {
                continue;
            }
            let mut these = Vec::new();
            for parameter in proto.parameters(&self.bytes).skip(1) {
                these.push(self.type_name(parameter?, 0)?);
            }
            if args.as_ref().is_some_and(|args| *args != these) {
                return Err(BtfError::Ambiguous { name });
            }
            args = Some(these);
        }
        args.ok_or_else(|| BtfError::NoType { kind: "tracepoint", name: tracepoint.to_owned() })
    }

    /// Whether this kernel has the tracepoint.
    pub fn has_tracepoint(&self, tracepoint: &str) -> bool {
        self.tracepoint_args(tracepoint).is_ok()
    }

    /// A type as it is written in C, as far as that is short: functions are only called that.
    fn type_name(&self, id: u32, depth: u32) -> Result<String, BtfError> {
        check_depth(depth)?;
        let found = self.type_of(id)?;
        let name = self.text_at_name(found.name)?;
        let tagged = |tag: &str| {
            if name.is_empty() { format!("{tag} (anonymous)") } else { format!("{tag} {name}") }
        };
        let inner = |id| self.type_name(id, depth + 1);
        Ok(match found.kind {
            Kind::Void => "void".to_owned(),
            Kind::Struct => tagged("struct"),
            Kind::Union => tagged("union"),
            Kind::Enum | Kind::Enum64 => tagged("enum"),
            Kind::Fwd => tagged(if found.flag { "union" } else { "struct" }),
            Kind::Ptr => {
                let target = inner(found.size_or_ref)?;
                if target.ends_with('*') { format!("{target}*") } else { format!("{target} *") }
            }
            Kind::Const => qualified("const", &inner(found.size_or_ref)?),
            Kind::Volatile => qualified("volatile", &inner(found.size_or_ref)?),
            Kind::Restrict => qualified("restrict", &inner(found.size_or_ref)?),
            Kind::TypeTag => inner(found.size_or_ref)?,
            Kind::Array => {
                let (element, count) = found.array(&self.bytes)?;
                format!("{}[{count}]", inner(element)?)
            }
            Kind::FuncProto => "function".to_owned(),
            Kind::Int
            | Kind::Float
            | Kind::Typedef
            | Kind::Func
            | Kind::Var
            | Kind::Datasec
            | Kind::DeclTag => name,
        })
    }
}

/// Puts a qualifier where C wants it: behind a pointer, before everything else.
fn qualified(qualifier: &str, name: &str) -> String {
    if name.ends_with('*') { format!("{name}{qualifier}") } else { format!("{qualifier} {name}") }
}
