//! The manual page and the completions, made from what the command line knows of itself.

use std::io::Write;

use clap::Command;
use clap_complete::Shell;

fn print(bytes: &[u8]) -> Result<(), String> {
    let printed = std::io::stdout().write_all(bytes);
    printed.map_err(|error| format!("printing: {error}"))
}

/// Prints the page of the program, or of one of its commands.
///
/// # Errors
/// Names the commands that there are.
pub(super) fn page(mut program: Command, command: Option<&str>) -> Result<(), String> {
    program.build();
    let page = match command {
        None => program,
        Some(name) => {
            let names: Vec<String> =
                program.get_subcommands().map(|known| known.get_name().to_string()).collect();
            let found = program.find_subcommand(name).cloned();
            found.ok_or_else(|| format!("there is no command '{name}': {}", names.join(", ")))?
        }
    };
    let mut bytes = Vec::new();
    clap_mangen::Man::new(page)
        .render(&mut bytes)
        .map_err(|error| format!("making the page: {error}"))?;
    print(&bytes)
}

/// Prints completions for `shell`.
///
/// # Errors
/// Those of standard output.
pub(super) fn completions(mut program: Command, shell: Shell) -> Result<(), String> {
    let mut bytes = Vec::new();
    clap_complete::generate(shell, &mut program, "helenus", &mut bytes);
    print(&bytes)
}
