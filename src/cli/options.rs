//! The options of a node, and the configuration that they make.

use std::path::{Path, PathBuf};

use clap::Args;
use helenus_platform::disk::{Disk, RealDisk};

use crate::config::{Config, ConfigError};

/// A configuration file larger than this is none.
const CONFIG_BYTES_MAX: u64 = 1 << 20;

/// Where the configuration of a node comes from: file, environment, these options; later ones win.
#[derive(Debug, Args)]
pub(super) struct ServeOptions {
    /// Configuration file, in TOML; `helenus config` prints one with every key
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Directory that belongs to this node alone [default: ./helenus-data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// IP address that clients connect to [default: 127.0.0.1]
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Port of the native protocol [default: 9042]
    #[arg(long, value_name = "N")]
    cql_port: Option<String>,
    /// Any configuration key, for example commit_log.sync_period=10s
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

impl ServeOptions {
    /// The configuration in force.
    pub(super) fn config(&self) -> Result<Config, String> {
        let shown = |error: ConfigError| error.to_string();
        let mut config = Config::default();
        if let Some(file) = &self.config {
            let name = file.display().to_string();
            let text = read_text(file).map_err(|error| format!("{name}: {error}"))?;
            config.set_file(&name, &text).map_err(shown)?;
        }
        config.set_environment(std::env::vars()).map_err(shown)?;
        for option in &self.set {
            config.set_option(option).map_err(shown)?;
        }
        for (option, key, value) in [
            ("--listen", "listen.address", &self.listen),
            ("--cql-port", "listen.cql_port", &self.cql_port),
        ] {
            if let Some(value) = value {
                config.set(key, value).map_err(|problem| format!("{option}: {problem}"))?;
            }
        }
        if let Some(dir) = &self.data_dir {
            config.data_dir.clone_from(dir);
        }
        config.check()?;
        Ok(config)
    }
}

/// Reads a small text file.
fn read_text(path: &Path) -> Result<String, String> {
    let file = RealDisk::new().open(path).map_err(|error| error.to_string())?;
    let length = file.len().map_err(|error| error.to_string())?;
    if length > CONFIG_BYTES_MAX {
        return Err(format!("{length} bytes is too large for a configuration file"));
    }
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
    file.read_exact_at(0, &mut bytes).map_err(|error| error.to_string())?;
    String::from_utf8(bytes).map_err(|error| error.to_string())
}
