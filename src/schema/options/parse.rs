//! From the text of a WITH clause to typed table options, and the limits they must keep, with
//! Cassandra's wording.

use std::collections::BTreeMap;

use super::{Caching, ReadRepair, RowsCached, TableOptions, speculative};
use crate::error::{Error, Result};
use crate::schema::properties::Properties;

/// The longest TTL: 20 years, in seconds.
pub const MAX_TTL_SECONDS: i32 = 20 * 365 * 24 * 3600;

/// Below this a bloom filter cannot be built with the bits that a bucket may have.
const BLOOM_FP_CHANCE_MIN: f64 = 6.71e-5;

/// Names that may stand after WITH (besides CLUSTERING ORDER and COMPACT STORAGE).
const NAMES: [&str; 20] = [
    "additional_write_policy",
    "allow_auto_snapshot",
    "bloom_filter_fp_chance",
    "caching",
    "cdc",
    "comment",
    "compaction",
    "compression",
    "crc_check_chance",
    "default_time_to_live",
    "extensions",
    "gc_grace_seconds",
    "id",
    "incremental_backups",
    "max_index_interval",
    "memtable",
    "memtable_flush_period_in_ms",
    "min_index_interval",
    "read_repair",
    "speculative_retry",
];

/// Options that are validated and kept, and change nothing in this version.
const WITHOUT_EFFECT: [&str; 13] = [
    "additional_write_policy",
    "allow_auto_snapshot",
    "caching",
    "cdc",
    "crc_check_chance",
    "extensions",
    "incremental_backups",
    "max_index_interval",
    "memtable",
    "memtable_flush_period_in_ms",
    "min_index_interval",
    "read_repair",
    "speculative_retry",
];

const STRATEGIES: [&str; 4] = [
    "SizeTieredCompactionStrategy",
    "LeveledCompactionStrategy",
    "TimeWindowCompactionStrategy",
    "UnifiedCompactionStrategy",
];
const STRATEGY_PACKAGE: &str = "org.apache.cassandra.db.compaction.";

const COMPRESSORS: [&str; 5] =
    ["LZ4Compressor", "SnappyCompressor", "DeflateCompressor", "ZstdCompressor", "NoopCompressor"];
const COMPRESSOR_PACKAGE: &str = "org.apache.cassandra.io.compress.";

impl TableOptions {
    /// These options with what a statement says put over them, validated.
    pub fn with(mut self, given: &Properties) -> Result<TableOptions> {
        given.check_names(&NAMES)?;
        self.set_plain(given)?;
        if let Some(map) = given.map("caching")? {
            self.caching = caching(map)?;
        }
        if let Some(map) = given.map("compaction")? {
            self.compaction = compaction(map)?;
            if !given.has("bloom_filter_fp_chance") && is_leveled(&self.compaction) {
                self.bloom_filter_fp_chance = 0.1;
            }
        }
        if let Some(map) = given.map("compression")? {
            self.compression = compression(map)?;
        }
        if let Some(text) = given.text("speculative_retry")? {
            self.speculative_retry = speculative::normalize(text)?;
        }
        if let Some(text) = given.text("additional_write_policy")? {
            self.additional_write_policy = speculative::normalize(text)?;
        }
        if let Some(text) = given.text("read_repair")? {
            self.read_repair = read_repair(text)?;
        }
        if let Some(text) = given.text("memtable")? {
            if text != "default" {
                return Err(Error::config(format!("Memtable configuration {text} not found.")));
            }
            self.memtable = text.to_owned();
        }
        self.check()?;
        Ok(self)
    }

    fn set_plain(&mut self, given: &Properties) -> Result<()> {
        set(&mut self.allow_auto_snapshot, given.boolean("allow_auto_snapshot")?);
        set(&mut self.bloom_filter_fp_chance, given.double("bloom_filter_fp_chance")?);
        set(&mut self.cdc, given.boolean("cdc")?);
        set(&mut self.comment, given.text("comment")?.map(str::to_owned));
        set(&mut self.crc_check_chance, given.double("crc_check_chance")?);
        set(&mut self.default_time_to_live, given.int("default_time_to_live")?);
        set(&mut self.gc_grace_seconds, given.int("gc_grace_seconds")?);
        set(&mut self.incremental_backups, given.boolean("incremental_backups")?);
        set(&mut self.max_index_interval, given.int("max_index_interval")?);
        let period = given.int("memtable_flush_period_in_ms")?;
        set(&mut self.memtable_flush_period_in_ms, period);
        set(&mut self.min_index_interval, given.int("min_index_interval")?);
        Ok(())
    }

    fn check(&self) -> Result<()> {
        let fp = self.bloom_filter_fp_chance;
        if !(fp > BLOOM_FP_CHANCE_MIN && fp <= 1.0) {
            return Err(Error::config(format!(
                "bloom_filter_fp_chance must be larger than 6.71E-5 and less than or equal to 1.0 \
                 (got {fp:?})"
            )));
        }
        let crc = self.crc_check_chance;
        if !(0.0..=1.0).contains(&crc) {
            return Err(Error::config(format!(
                "crc_check_chance must be larger than or equal to 0 and smaller than or equal to \
                 1.0 (got {crc:?})"
            )));
        }
        at_least("default_time_to_live", self.default_time_to_live, 0)?;
        if self.default_time_to_live > MAX_TTL_SECONDS {
            return Err(Error::config(format!(
                "default_time_to_live must be less than or equal to {MAX_TTL_SECONDS} (got {})",
                self.default_time_to_live
            )));
        }
        at_least("gc_grace_seconds", self.gc_grace_seconds, 0)?;
        at_least("min_index_interval", self.min_index_interval, 1)?;
        if self.max_index_interval < self.min_index_interval {
            return Err(Error::config(format!(
                "max_index_interval must be greater than or equal to min_index_interval ({}) \
                 (got {})",
                self.min_index_interval, self.max_index_interval
            )));
        }
        at_least("memtable_flush_period_in_ms", self.memtable_flush_period_in_ms, 0)
    }

    /// The names given whose value is kept and has no effect in this version; a statement that
    /// sets one answers with a warning.
    pub fn without_effect(given: &Properties) -> Vec<&str> {
        given.names().filter(|name| WITHOUT_EFFECT.contains(name)).collect()
    }
}

fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

fn at_least(name: &str, value: i32, min: i32) -> Result<()> {
    if value < min {
        return Err(Error::config(format!(
            "{name} must be greater than or equal to {min} (got {value})"
        )));
    }
    Ok(())
}

fn caching(map: &BTreeMap<String, String>) -> Result<Caching> {
    let unknown: Vec<&str> = map
        .keys()
        .map(String::as_str)
        .filter(|name| !["keys", "rows_per_partition"].contains(name))
        .collect();
    if !unknown.is_empty() {
        return Err(Error::config(format!(
            "Invalid caching sub-options [{}]: only 'keys' and 'rows_per_partition' are allowed",
            unknown.join(", ")
        )));
    }
    let keys = match map.get("keys") {
        None => false,
        Some(text) if text.eq_ignore_ascii_case("ALL") => true,
        Some(text) if text.eq_ignore_ascii_case("NONE") => false,
        Some(text) => {
            return Err(Error::config(format!(
                "Invalid value '{text}' for caching sub-option 'keys': only 'ALL' and 'NONE' are \
                 allowed"
            )));
        }
    };
    let rows = match map.get("rows_per_partition") {
        None => RowsCached::None,
        Some(text) if text.eq_ignore_ascii_case("ALL") => RowsCached::All,
        Some(text) if text.eq_ignore_ascii_case("NONE") => RowsCached::None,
        Some(text) => match text.parse::<u32>() {
            Ok(0) => RowsCached::None,
            Ok(count) => RowsCached::Count(count),
            Err(_) => {
                return Err(Error::config(format!(
                    "Invalid value '{text}' for caching sub-option 'rows_per_partition': only \
                     'ALL', 'NONE', and integer values are allowed"
                )));
            }
        },
    };
    Ok(Caching { keys, rows })
}

fn is_leveled(compaction: &BTreeMap<String, String>) -> bool {
    compaction.get("class").is_some_and(|class| class.ends_with(".LeveledCompactionStrategy"))
}

/// The full Java name for a class of a package, if it is one of the known.
fn full_class(given: &str, package: &str, known: &[&str]) -> Option<String> {
    let short = given.strip_prefix(package).unwrap_or(given);
    known.contains(&short).then(|| format!("{package}{short}"))
}

fn compaction(given: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>> {
    let mut map = given.clone();
    let Some(class) = map.get("class") else {
        return Err(Error::config("Missing sub-option 'class' for the 'compaction' option"));
    };
    let Some(full) = full_class(class, STRATEGY_PACKAGE, &STRATEGIES) else {
        let name =
            if class.contains('.') { class.clone() } else { format!("{STRATEGY_PACKAGE}{class}") };
        return Err(Error::config(format!("Unable to find compaction strategy class '{name}'")));
    };
    let thresholds = !full.ends_with(".UnifiedCompactionStrategy")
        && !full.ends_with(".LeveledCompactionStrategy");
    map.insert("class".to_owned(), full);
    if thresholds {
        map.entry("min_threshold".to_owned()).or_insert_with(|| "4".to_owned());
        map.entry("max_threshold".to_owned()).or_insert_with(|| "32".to_owned());
        check_thresholds(&map)?;
    }
    Ok(map)
}

fn check_thresholds(map: &BTreeMap<String, String>) -> Result<()> {
    let parse = |name: &str| -> Result<i32> {
        let text = map.get(name).map_or("", String::as_str);
        text.parse().map_err(|_| {
            Error::config(format!(
                "Invalid value {text} for '{name}' compaction sub-option - must be an integer"
            ))
        })
    };
    let (min, max) = (parse("min_threshold")?, parse("max_threshold")?);
    if min <= 0 || max <= 0 {
        return Err(Error::config(
            "Disabling compaction by setting compaction thresholds to 0 has \
            been removed, set the compaction option 'enabled' to false instead.",
        ));
    }
    if min <= 1 {
        return Err(Error::config(format!(
            "Min compaction threshold cannot be less than 2 (got {min})"
        )));
    }
    if min > max {
        return Err(Error::config(format!(
            "Min compaction threshold (got {min}) cannot be greater than max compaction threshold \
             (got {max})"
        )));
    }
    Ok(())
}

fn compression(given: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>> {
    let mut map = given.clone();
    let off = BTreeMap::from([("enabled".to_owned(), "false".to_owned())]);
    if map.is_empty() {
        return Ok(off);
    }
    if map.remove("enabled").is_some_and(|text| !text.eq_ignore_ascii_case("true")) {
        if !map.is_empty() {
            return Err(Error::config(
                "If the 'enabled' option is set to false no other options must be specified",
            ));
        }
        return Ok(off);
    }
    let Some(class) = map.get("class") else {
        return Err(Error::config("Missing sub-option 'class' for the 'compression' option."));
    };
    if class.is_empty() {
        return Ok(off);
    }
    let Some(full) = full_class(class, COMPRESSOR_PACKAGE, &COMPRESSORS) else {
        let name = if class.contains('.') {
            class.clone()
        } else {
            format!("{COMPRESSOR_PACKAGE}{class}")
        };
        return Err(Error::config(format!("Could not create Compression for type {name}")));
    };
    map.insert("class".to_owned(), full);
    let kib = map.entry("chunk_length_in_kb".to_owned()).or_insert_with(|| "16".to_owned());
    let length: i32 =
        kib.parse().map_err(|_| Error::config("Invalid value for chunk_length_in_kb"))?;
    if length > i32::MAX / 1024 {
        return Err(Error::config(format!("Value of chunk_length_in_kb is too large ({length})")));
    }
    if length <= 0 {
        return Err(Error::config("Invalid negative or null chunk_length_in_kb"));
    }
    if length.count_ones() != 1 {
        return Err(Error::config("chunk_length_in_kb must be a power of 2"));
    }
    Ok(map)
}

fn read_repair(text: &str) -> Result<ReadRepair> {
    match text.to_uppercase().as_str() {
        "BLOCKING" => Ok(ReadRepair::Blocking),
        "NONE" => Ok(ReadRepair::None),
        _ => Err(Error::config(format!(
            "Invalid value {text} for option 'read_repair': must be BLOCKING or NONE"
        ))),
    }
}
