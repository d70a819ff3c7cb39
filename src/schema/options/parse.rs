//! From the text of a WITH clause to typed table options, and the limits they must keep, with
//! Cassandra's wording.

use std::collections::BTreeMap;

use cql_lite::types::text::parse_hex;

use super::{Caching, ReadRepair, RowsCached, TableOptions, compaction, compression, speculative};
use crate::error::{Error, Result};
use crate::schema::properties::Properties;

/// The longest TTL: 20 years, in seconds.
pub const MAX_TTL_SECONDS: i32 = 20 * 365 * 24 * 3600;

/// Below this a bloom filter cannot be built with the bits that a bucket may have.
const BLOOM_FP_CHANCE_MIN: f64 = 6.71e-5;

impl TableOptions {
    /// Names that may stand after WITH (besides CLUSTERING ORDER and COMPACT STORAGE).
    pub const NAMES: [&str; 20] = [
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

    /// These options with what a statement says put over them, validated.
    pub fn with(mut self, given: &Properties) -> Result<TableOptions> {
        given.check_names(&Self::NAMES)?;
        self.set_plain(given)?;
        if let Some(map) = given.map("caching")? {
            self.caching = caching(map)?;
        }
        if let Some(map) = given.map("compaction")? {
            self.compaction = compaction::normalize(map)?;
            if !given.has("bloom_filter_fp_chance") && compaction::is_leveled(&self.compaction) {
                self.bloom_filter_fp_chance = 0.1;
            }
        }
        if let Some(map) = given.map("compression")? {
            self.compression = compression::normalize(map)?;
        }
        if let Some(map) = given.map("extensions")? {
            let blobs = map.iter().map(|(name, text)| Ok((name.clone(), blob(name, text)?)));
            self.extensions = blobs.collect::<Result<_>>()?;
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

    /// What of the options that a statement gives is kept without effect in this version, as
    /// warnings; a default is not worth one. `self` is what became of the options.
    pub fn warnings(&self, given: &Properties) -> Vec<String> {
        let default = TableOptions::default();
        let mut names: Vec<String> = Vec::new();
        for (name, is_default) in self.without_effect(&default) {
            if given.has(name) && !is_default {
                names.push(name.to_owned());
            }
        }
        let mut sentences = Vec::new();
        for (option, kept, default, is_without_effect, sentence) in [
            (
                "compaction",
                &self.compaction,
                &default.compaction,
                compaction::is_without_effect as fn(&str) -> bool,
                compaction::without_effect(&self.compaction),
            ),
            (
                "compression",
                &self.compression,
                &default.compression,
                compression::is_without_effect,
                compression::without_effect(&self.compression),
            ),
        ] {
            // An option of the wrong form is refused before anybody is warned.
            let Ok(Some(map)) = given.map(option) else { continue };
            let given = map.keys().filter(|name| kept.get(*name) != default.get(*name));
            let idle = given.filter(|name| is_without_effect(name));
            names.extend(idle.map(|name| format!("{option}.{name}")));
            sentences.extend(sentence);
        }
        if !names.is_empty() {
            sentences.push(format!(
                "These table options are kept but have no effect in this version of Helenus: {}",
                names.join(", ")
            ));
        }
        sentences
    }

    /// The options that change nothing in this version, and whether each is as in `other`.
    fn without_effect(&self, other: &TableOptions) -> [(&'static str, bool); 13] {
        let same_write_policy = self.additional_write_policy == other.additional_write_policy;
        let same_period = self.memtable_flush_period_in_ms == other.memtable_flush_period_in_ms;
        [
            ("additional_write_policy", same_write_policy),
            ("allow_auto_snapshot", self.allow_auto_snapshot == other.allow_auto_snapshot),
            ("caching", self.caching == other.caching),
            ("cdc", self.cdc == other.cdc),
            ("crc_check_chance", self.crc_check_chance == other.crc_check_chance),
            ("extensions", self.extensions == other.extensions),
            ("incremental_backups", self.incremental_backups == other.incremental_backups),
            ("max_index_interval", self.max_index_interval == other.max_index_interval),
            ("memtable", self.memtable == other.memtable),
            ("memtable_flush_period_in_ms", same_period),
            ("min_index_interval", self.min_index_interval == other.min_index_interval),
            ("read_repair", self.read_repair == other.read_repair),
            ("speculative_retry", self.speculative_retry == other.speculative_retry),
        ]
    }
}

fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

/// An extension's value, as it is described: `0x` and hexadecimal digits.
fn blob(name: &str, text: &str) -> Result<Vec<u8>> {
    text.strip_prefix("0x").and_then(parse_hex).ok_or_else(|| {
        Error::config(format!("Invalid value '{text}' for extension '{name}': must be a blob"))
    })
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

/// The full Java name for a class of a package, if it is one of the known.
pub(super) fn full_class(given: &str, package: &str, known: &[&str]) -> Option<String> {
    let short = given.strip_prefix(package).unwrap_or(given);
    known.contains(&short).then(|| format!("{package}{short}"))
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
