//! A file of hints as text, for `helenus inspect`.

use std::path::Path;

use helenus_platform::disk::Disk;
use helenus_storage::model::MutationRef;

use super::format::{Found, HEADER_BYTES, Header, HintFileError, find};

/// A file larger than this is not read: it holds no hints of ours.
const FILE_BYTES_MAX: u64 = 1 << 30;

/// Describes a file of hints; every hint of it if `each`.
///
/// # Errors
/// Names the place when the file is damaged or newer, after telling what comes before.
pub fn inspect(
    disk: &dyn Disk,
    path: &Path,
    each: bool,
    line: &mut dyn FnMut(&str),
) -> Result<(), HintFileError> {
    let failed = |source| HintFileError::Io { what: "reading", path: path.to_owned(), source };
    let corrupt = |offset: usize, what| HintFileError::Corrupt {
        path: path.to_owned(),
        offset: offset as u64,
        what,
    };
    let file = disk.open(path).map_err(failed)?;
    let length = file.len().map_err(failed)?;
    if length > FILE_BYTES_MAX {
        return Err(corrupt(0, "the file is larger than any of hints"));
    }
    let mut bytes = vec![0; length as usize];
    file.read_exact_at(0, &mut bytes).map_err(failed)?;
    let Some((header, salt)) = Header::decode(path, &bytes)? else {
        line("a file of hints that ends inside its header: nobody was promised anything");
        return Ok(());
    };
    let target = uuid::Uuid::from_bytes(header.target.0);
    line(&format!("hints for host {target}, file {}, {length} bytes", header.sequence));
    let (mut count, mut offset) = (0_u64, HEADER_BYTES);
    loop {
        match find(&bytes, offset, salt) {
            Found::Hint { head, mutation, end } => {
                count += 1;
                if each {
                    line(&format!("  at {offset}: {}", describe(head.created_micros, mutation)));
                }
                offset = end;
            }
            Found::Damaged { .. } => {
                return Err(corrupt(offset, "a hint's checksum is wrong"));
            }
            Found::Lost { is_damage: true } => return Err(corrupt(offset, "no hint stands there")),
            Found::Lost { is_damage: false } => {
                line(&format!("  {count} hints, then a torn tail at {offset}"));
                return Ok(());
            }
            Found::End => {
                line(&format!("  {count} hints"));
                return Ok(());
            }
        }
    }
}

fn describe(created_micros: i64, mutation: &[u8]) -> String {
    let bytes = mutation.len();
    let what = match MutationRef::parse(mutation) {
        Err(error) => format!("not a mutation: {error}"),
        Ok(mutation) => {
            let tables: Vec<String> = mutation
                .tables()
                .map(|update| match update {
                    Ok(update) => update.table().0.to_string(),
                    Err(error) => error.to_string(),
                })
                .collect();
            format!(
                "keyspace {}, token {}, tables {}",
                mutation.keyspace().0,
                mutation.key().token.0,
                tables.join(" ")
            )
        }
    };
    format!("made at {created_micros} µs, {bytes} bytes: {what}")
}
