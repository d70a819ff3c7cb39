//! `helenus restore`: a snapshot becomes a data directory.

use std::path::Path;
use std::sync::Arc;

use helenus_platform::clock::{Clock, RealClock};
use helenus_platform::disk::{Disk, RealDisk};
use helenus_platform::random::{Random, RealRandom};

/// Restores and says what.
///
/// # Errors
/// Those of [`crate::node::restore`].
pub(super) fn run(snapshot: &Path, data_dir: &Path) -> Result<String, String> {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::new());
    let clock: Arc<dyn Clock> = Arc::new(RealClock::new());
    let random = RealRandom::new().map_err(|error| format!("no randomness: {error}"))?;
    let random: Arc<dyn Random> = Arc::new(random);
    let restored = crate::node::restore(&disk, &clock, &random, snapshot, data_dir)
        .map_err(|error| error.to_string())?;
    Ok(format!(
        "restored snapshot {} of {}: {} tables with rows, {} SSTables, {} bytes, into {}",
        restored.tag,
        restored.created_at,
        restored.tables,
        restored.files,
        restored.bytes,
        data_dir.display()
    ))
}
