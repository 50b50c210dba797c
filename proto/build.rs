//! Generates messages and services. No `protoc` is needed.
//!
//! A message with a field that is marked `debug_redact` gets a `Debug` that shows its name alone, so that what
//! contains it can be printed.

use std::{env, error::Error, fmt::Write, fs, path::PathBuf};

use protox::prost_reflect::{FieldDescriptor, Value};

const FILES: [&str; 2] = [
    "roundhouse/discovery/v1/discovery.proto",
    "roundhouse/admin/v1/admin.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler
        .include_source_info(true)
        .include_imports(true)
        .open_files(FILES)?;
    #[expect(clippy::disallowed_methods, reason = "how cargo talks to build scripts")]
    let out = env::var_os("OUT_DIR").map(PathBuf::from).ok_or("no OUT_DIR")?;
    fs::write(out.join("descriptors.bin"), compiler.encode_file_descriptor_set())?;

    let mut unprintable = Vec::new();
    let mut debug = String::new();
    for message in compiler.descriptor_pool().all_messages() {
        let mut redacted = message.fields().filter(is_redacted).peekable();
        if redacted.peek().is_none() {
            continue;
        }
        if redacted.any(|field| field.containing_oneof().is_some()) {
            return Err(format!(
                "{}: a secret in a oneof needs a message of its own",
                message.full_name()
            )
            .into());
        }
        let name = message.name();
        let module = message.package_name().replace('.', "::");
        writeln!(
            debug,
            "impl ::std::fmt::Debug for {module}::{name} {{\n\
             fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {{\n\
             f.write_str(\"{name} [redacted]\")\n}}\n}}"
        )?;
        unprintable.push(format!(".{}", message.full_name()));
    }
    fs::write(out.join("debug.rs"), debug)?;

    tonic_prost_build::configure()
        .build_transport(false)
        // Maps in their order, so that equal objects are equal bytes.
        .btree_map(".")
        .boxed(".roundhouse.discovery.v1.Object.object.provider")
        .skip_debug(unprintable)
        .compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}

fn is_redacted(field: &FieldDescriptor) -> bool {
    let options = field.options();
    options
        .get_field_by_name("debug_redact")
        .is_some_and(|value| *value == Value::Bool(true))
}
