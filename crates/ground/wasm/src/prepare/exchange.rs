//! Modules for My Own Cluster, which know no WASI: an adapter makes their imports of a module "core" functions of
//! [`crate::exchange`], and one of their exports the beginning of a program.
//!
//! The adapter is written for the module, because how a program begins is the type of its export.

use std::collections::BTreeMap;

use wasmparser::{CompositeInnerType, ExternalKind, FuncType, Parser, Payload, TypeRef, ValType};
use wit_component::{StringEncoding, embed_component_metadata};
use wit_parser::Resolve;
use wit_parser::abi::AbiVariant;

use super::not_wasm;
use crate::error::Error;
use crate::exchange::entry_hash;

/// The modules that they import, of which all but the last are the same.
const MODULES: [&str; 2] = ["core", "my-own-cluster"];
/// What AssemblyScript imports where nobody says otherwise.
const SCRIPT: &str = "env";
const INTERFACE: &str = "cairn:compute/exchange@0.1.0";
/// What is the same for all of them; imports come first.
const HELPS: &str = include_str!("exchange.wat");
/// What can begin, besides these.
const BEGINNINGS: [&str; 2] = ["_start", "main"];
const BEGINNINGS_MAX: usize = 100;
const PARAMETERS_MAX: usize = 16;
const PACKAGES: [(&str, &str); 3] = [
    ("io.wit", include_str!("../../wit/deps/io.wit")),
    ("cli.wit", include_str!("../../wit/deps/cli.wit")),
    ("compute.wit", include_str!("../../wit/deps/compute.wit")),
];

/// What is looked at of a module.
#[derive(Default)]
pub(super) struct Seen {
    /// The modules that it imports.
    imports: Vec<String>,
    /// Exports that take and answer 32-bit integers: their parameters, and whether they answer.
    beginnings: BTreeMap<String, (usize, bool)>,
    /// Whether it begins as a program for WASI does.
    pub(super) is_command: bool,
}

impl Seen {
    /// Looks at a module that is valid.
    pub(super) fn of(module: &[u8]) -> Result<Self, Error> {
        let (mut seen, mut types, mut functions) = (Self::default(), Vec::new(), Vec::new());
        for payload in Parser::new(0).parse_all(module) {
            seen.take(payload, &mut types, &mut functions)
                .map_err(|error| not_wasm(&error.to_string()))?;
        }
        Ok(seen)
    }

    fn take(
        &mut self,
        payload: wasmparser::Result<Payload<'_>>,
        types: &mut Vec<Option<FuncType>>,
        functions: &mut Vec<u32>,
    ) -> wasmparser::Result<()> {
        match payload? {
            Payload::TypeSection(section) => {
                for group in section {
                    types.extend(group?.into_types().map(|one| match one.composite_type.inner {
                        CompositeInnerType::Func(function) => Some(function),
                        _ => None,
                    }));
                }
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    let import = import?;
                    self.imports.push(import.module.to_owned());
                    if let TypeRef::Func(index) = import.ty {
                        functions.push(index);
                    }
                }
            }
            Payload::FunctionSection(section) => {
                for index in section {
                    functions.push(index?);
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    let export = export?;
                    let (ExternalKind::Func, index) = (export.kind, export.index as usize) else {
                        continue;
                    };
                    let of = functions.get(index).and_then(|at| types.get(*at as usize));
                    let Some(Some(of)) = of else { continue };
                    let (takes, answers) = (of.params(), of.results());
                    if export.name == "_start" && takes.is_empty() && answers.is_empty() {
                        self.is_command = true;
                    }
                    let whole = takes.iter().chain(answers).all(|one| *one == ValType::I32);
                    if whole && answers.len() <= 1 && takes.len() <= PARAMETERS_MAX {
                        let shape = (takes.len(), !answers.is_empty());
                        self.beginnings.insert(export.name.to_owned(), shape);
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn asks(&self, module: &str) -> bool {
        self.imports.iter().any(|known| known == module)
    }

    /// Whether it is for WASI.
    pub(super) fn is_wasi(&self) -> bool {
        self.imports.iter().any(|known| known.starts_with("wasi"))
    }

    /// The adapters that it needs, by the modules that they are.
    pub(super) fn adapters(&self) -> Result<Vec<(&'static str, Vec<u8>)>, Error> {
        let asked = MODULES.into_iter().filter(|module| self.asks(module));
        let mut asked: Vec<&'static str> = asked.collect();
        // What else such a module is, is said where it is not found.
        if self.asks(SCRIPT) && (!asked.is_empty() || !self.is_wasi()) {
            asked.push(SCRIPT);
        }
        let mut begins = !(self.is_wasi() && self.is_command);
        let mut all = Vec::new();
        for module in asked {
            // One of them is where it begins.
            let adapter = self.adapter(std::mem::take(&mut begins))?;
            all.push((module, adapter));
        }
        Ok(all)
    }

    fn adapter(&self, begins: bool) -> Result<Vec<u8>, Error> {
        let failed = |detail: String| Error::Compile { detail };
        let mut resolve = Resolve::default();
        let mut package = None;
        for (name, text) in PACKAGES {
            let added = resolve.push_str(name, text);
            package = Some(added.map_err(|error| failed(error.to_string()))?);
        }
        let world = if begins { "exchange-program" } else { "exchange-imports" };
        let world = resolve.select_world(package.as_slice(), Some(world));
        let world = world.map_err(|error| failed(error.to_string()))?;
        let text = self.text(&resolve, begins);
        let mut module = wat::parse_str(&text).map_err(|error| failed(error.to_string()))?;
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)
            .map_err(|error| failed(error.to_string()))?;
        Ok(module)
    }

    /// The adapter as text.
    fn text(&self, resolve: &Resolve, begins: bool) -> String {
        let (mut imports, mut functions) = (String::new(), String::new());
        let interfaces = resolve.interfaces.iter();
        let functions_of = interfaces
            .filter(|(_, one)| one.name.as_deref() == Some("exchange"))
            .flat_map(|(_, one)| &one.functions);
        for (name, function) in functions_of {
            let takes = resolve.wasm_signature(AbiVariant::GuestImport, function).params.len();
            let known = name.replace('-', "_");
            // A text takes any letter.
            line(
                &mut imports,
                &format!(
                    "(import \"{INTERFACE}\" \"{name}\" (func $b_{known} {} (result i32)))",
                    parameters(takes)
                ),
            );
            let passed: String = (0..takes).map(|at| format!("(local.get {at})")).collect();
            line(
                &mut functions,
                &format!(
                    "(func (export \"{known}\") {} (result i32) (call $b_{known} {passed}))",
                    parameters(takes)
                ),
            );
        }
        if begins {
            self.begin(&mut imports, &mut functions);
        }
        format!("(module\n{imports}{HELPS}{functions})")
    }

    /// How it begins: with the export that the call names, or else with the one that programs begin with.
    fn begin(&self, imports: &mut String, functions: &mut String) {
        let named = self.beginnings.iter().take(BEGINNINGS_MAX);
        let usual = BEGINNINGS.into_iter().filter_map(|name| self.beginnings.get_key_value(name));
        let only = self.beginnings.iter().next().filter(|_| self.beginnings.len() == 1);
        let usual = usual.chain(only).next();
        let (mut body, mut imported) = (String::new(), BTreeMap::new());
        for (hash, name, shape) in usual
            .map(|(name, shape)| (0, name, shape))
            .into_iter()
            .chain(named.map(|(name, shape)| (entry_hash(name), name, shape)))
        {
            let (takes, answers) = *shape;
            let next = imported.len();
            let at = *imported.entry(name).or_insert_with(|| {
                let answer = if answers { "(result i32)" } else { "" };
                let name = quoted(name);
                line(
                    imports,
                    &format!(
                        "(import \"__main_module__\" {name} (func $m{next} {} {answer}))",
                        parameters(takes)
                    ),
                );
                next
            });
            let passed: String =
                (0..takes).map(|at| format!("(call $argument (i32.const {at}))")).collect();
            let call = format!("(call $m{at} {passed})");
            let ended = if answers { format!("(call $ended {call})") } else { call };
            // As the numbers of text are written: with a sign.
            let hash = hash.cast_signed();
            line(
                &mut body,
                &format!(
                    "(if (call $is_entry (i64.const {hash})) (then {ended} (return (i32.const 0))))"
                ),
            );
        }
        line(
            functions,
            &format!(
                "(func (export \"wasi:cli/run@0.2.0#run\") (result i32)\n{body}(call $no_entry) (i32.const 1))"
            ),
        );
    }
}

fn line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

fn parameters(count: usize) -> String {
    format!("(param{})", " i32".repeat(count))
}

/// A name as the text format has names of any bytes.
fn quoted(name: &str) -> String {
    let bytes: String = name.bytes().map(|byte| format!("\\{byte:02x}")).collect();
    format!("\"{bytes}\"")
}
