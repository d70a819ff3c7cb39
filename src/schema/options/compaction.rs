//! The `compaction` option: Cassandra's strategies and what they understand, validated with its
//! wording, and kept in the form in which its schema tables show it.

use std::collections::BTreeMap;
use std::str::FromStr;

use super::parse::full_class;
use crate::error::{Error, Result};

const PACKAGE: &str = "org.apache.cassandra.db.compaction.";

const SIZE_TIERED: &str = "SizeTieredCompactionStrategy";
const LEVELED: &str = "LeveledCompactionStrategy";
const TIME_WINDOW: &str = "TimeWindowCompactionStrategy";
const UNIFIED: &str = "UnifiedCompactionStrategy";

/// Sub-options that every strategy understands.
const COMMON: &[&str] = &[
    "enabled",
    "log_all",
    "only_purge_repaired_tombstones",
    "provide_overlapping_tombstones",
    "tombstone_compaction_interval",
    "tombstone_threshold",
    "unchecked_tombstone_compaction",
];
const THRESHOLDS: &[&str] = &["min_threshold", "max_threshold"];
const TIERED: &[&str] = &["bucket_high", "bucket_low", "min_sstable_size"];
const LEVELS: &[&str] = &["fanout_size", "single_sstable_uplevel", "sstable_size_in_mb"];
const WINDOWS: &[&str] = &[
    "compaction_window_size",
    "compaction_window_unit",
    "expired_sstable_check_frequency_seconds",
    "timestamp_resolution",
    "unsafe_aggressive_sstable_expiration",
];
const UNIFIED_OPTIONS: &[&str] = &[
    "base_shard_count",
    "expired_sstable_check_frequency_seconds",
    "flush_size_override",
    "max_sstables_to_compact",
    "min_sstable_size",
    "overlap_inclusion_method",
    "scaling_parameters",
    "sstable_growth",
    "target_sstable_size",
    "unsafe_aggressive_sstable_expiration",
];

/// Each strategy with the lists of what it understands beside [`COMMON`].
const STRATEGIES: [(&str, &[&[&str]]); 4] = [
    (SIZE_TIERED, &[THRESHOLDS, TIERED]),
    (LEVELED, &[THRESHOLDS, TIERED, LEVELS]),
    (TIME_WINDOW, &[THRESHOLDS, TIERED, WINDOWS]),
    (UNIFIED, &[UNIFIED_OPTIONS]),
];

/// Sub-options that compaction acts on in this version.
const WITH_EFFECT: &[&str] = &["class", "enabled", "scaling_parameters", "tombstone_threshold"];

/// Whether this is the map of the levelled strategy.
pub(super) fn is_leveled(map: &BTreeMap<String, String>) -> bool {
    map.get("class").is_some_and(|class| class.ends_with(LEVELED))
}

/// Whether this is the map of the strategy of time windows.
pub(super) fn is_time_window(map: &BTreeMap<String, String>) -> bool {
    map.get("class").is_some_and(|class| class.ends_with(TIME_WINDOW))
}

/// What is kept of a given map.
pub(super) fn normalize(given: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>> {
    let mut map = given.clone();
    let Some(class) = map.remove("class") else {
        return Err(Error::config("Missing sub-option 'class' for the 'compaction' option"));
    };
    let names = STRATEGIES.map(|(name, _)| name);
    let Some(full) = full_class(&class, PACKAGE, &names) else {
        let name = if class.contains('.') { class } else { format!("{PACKAGE}{class}") };
        return Err(Error::config(format!("Unable to find compaction strategy class '{name}'")));
    };
    let (strategy, lists) =
        STRATEGIES.into_iter().find(|(name, _)| full.ends_with(name)).unwrap_or((UNIFIED, &[]));
    check_common(&map)?;
    check_special(&map)?;
    let known = |name: &String| {
        COMMON.iter().chain(lists.iter().copied().flatten()).any(|other| other == name)
    };
    let unknown: Vec<&str> = map.keys().filter(|name| !known(name)).map(String::as_str).collect();
    if !unknown.is_empty() {
        return Err(Error::config(format!(
            "Properties specified [{}] are not understood by {strategy}",
            unknown.join(", ")
        )));
    }
    if strategy != UNIFIED {
        map.entry("min_threshold".to_owned()).or_insert_with(|| "4".to_owned());
        map.entry("max_threshold".to_owned()).or_insert_with(|| "32".to_owned());
        check_thresholds(&map)?;
    }
    map.insert("class".to_owned(), full);
    Ok(map)
}

/// The number of that name, if it is given.
fn number<T: FromStr>(map: &BTreeMap<String, String>, name: &str) -> Result<Option<T>> {
    let parse = |text: &String| {
        text.parse()
            .map_err(|_| Error::config(format!("{text} is not a parsable int (base10) for {name}")))
    };
    map.get(name).map(parse).transpose()
}

fn is_boolean(text: &str) -> bool {
    text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false")
}

fn check_common(map: &BTreeMap<String, String>) -> Result<()> {
    if let Some(threshold) = number::<f32>(map, "tombstone_threshold")?
        && threshold < 0.0
    {
        return Err(Error::config(format!(
            "tombstone_threshold must be greater than 0, but was {threshold:.6}"
        )));
    }
    if let Some(interval) = number::<i64>(map, "tombstone_compaction_interval")?
        && interval < 0
    {
        return Err(Error::config(format!(
            "tombstone_compaction_interval must be greater than 0, but was {interval}"
        )));
    }
    let not_boolean = |name: &str| map.get(name).filter(|text| !is_boolean(text));
    if let Some(text) = not_boolean("unchecked_tombstone_compaction") {
        return Err(Error::config(format!(
            "'unchecked_tombstone_compaction' should be either 'true' or 'false', not '{text}'"
        )));
    }
    if let Some(text) = not_boolean("log_all") {
        return Err(Error::config(format!(
            "'log_all' should either be 'true' or 'false', not {text}"
        )));
    }
    if let Some(text) = not_boolean("enabled") {
        return Err(Error::config(format!(
            "enabled should either be 'true' or 'false', not {text}"
        )));
    }
    if let Some(text) = map.get("provide_overlapping_tombstones") {
        let upper = text.to_uppercase();
        if !matches!(upper.as_str(), "NONE" | "ROW" | "CELL") {
            return Err(Error::config(format!(
                "Invalid value {upper} for 'provide_overlapping_tombstones' compaction sub-option \
                 - must be one of the following [NONE, ROW, CELL]."
            )));
        }
    }
    Ok(())
}

/// Sub-options of some strategies; which of them a strategy understands is checked elsewhere.
fn check_special(map: &BTreeMap<String, String>) -> Result<()> {
    let low = number::<f64>(map, "bucket_low")?.unwrap_or(0.5);
    let high = number::<f64>(map, "bucket_high")?.unwrap_or(1.5);
    if high <= low {
        return Err(Error::config(format!(
            "Bucket high value ({high:?}) is less than or equal bucket low value ({low:?})"
        )));
    }
    for (name, allowed) in [
        ("timestamp_resolution", &["SECONDS", "MILLISECONDS", "MICROSECONDS", "NANOSECONDS"][..]),
        ("compaction_window_unit", &["MINUTES", "HOURS", "DAYS"]),
    ] {
        if let Some(text) = map.get(name)
            && !allowed.contains(&text.as_str())
        {
            return Err(Error::config(format!("{text} is not valid for {name}")));
        }
    }
    if let Some(size) = number::<i32>(map, "compaction_window_size")?
        && size < 1
    {
        return Err(Error::config(format!(
            "{size} must be greater than 1 for compaction_window_size"
        )));
    }
    if let Some(seconds) = number::<i64>(map, "expired_sstable_check_frequency_seconds")?
        && seconds < 0
    {
        return Err(Error::config(format!(
            "expired_sstable_check_frequency_seconds must not be negative, but was {seconds}"
        )));
    }
    if let Some(size) = number::<i32>(map, "sstable_size_in_mb")?
        && size < 1
    {
        return Err(Error::config(format!(
            "sstable_size_in_mb must be larger than 0, but was {size}"
        )));
    }
    if let Some(fanout) = number::<i32>(map, "fanout_size")?
        && fanout < 1
    {
        return Err(Error::config(format!("fanout_size must be larger than 0, but was {fanout}")));
    }
    check_scaling(map.get("scaling_parameters"))
}

/// `T4`, `L10`, `N`, or a number, separated by commas.
fn check_scaling(list: Option<&String>) -> Result<()> {
    let Some(list) = list else { return Ok(()) };
    for part in list.split(',').map(str::trim) {
        let fan = |digits: &str| {
            digits.bytes().all(|b| b.is_ascii_digit())
                && digits.parse::<u32>().is_ok_and(|n| n >= 2)
        };
        let good = match part.split_at_checked(1) {
            Some(("N", "")) => true,
            Some(("T" | "L", digits)) => fan(digits),
            _ => part.parse::<i32>().is_ok(),
        };
        if !good {
            return Err(Error::config(format!(
                "Scaling parameter {part} must match N, Lm or Tn where m, n are integers >= 2, or \
                 be an integer"
            )));
        }
    }
    Ok(())
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

/// What of a normalized map this version does not do, in words for the client.
pub(super) fn without_effect(map: &BTreeMap<String, String>) -> Option<String> {
    map.get("class").filter(|class| class.ends_with(TIME_WINDOW)).map(|_| {
        format!(
            "{TIME_WINDOW} is kept, but the table is compacted by size, without time windows, in \
             this version"
        )
    })
}

/// Whether a sub-option is kept without effect.
pub(super) fn is_without_effect(name: &str) -> bool {
    !WITH_EFFECT.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(text: &str) -> BTreeMap<String, String> {
        let pairs = text.split(' ').filter_map(|pair| pair.split_once('='));
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn strategies_are_kept_in_normal_form() {
        let leveled =
            normalize(&map("class=LeveledCompactionStrategy sstable_size_in_mb=1")).unwrap();
        assert_eq!(
            leveled,
            map(&format!(
                "class={PACKAGE}{LEVELED} max_threshold=32 min_threshold=4 sstable_size_in_mb=1"
            ))
        );
        assert_eq!(normalize(&leveled).unwrap(), leveled);
        let unified =
            normalize(&map("class=UnifiedCompactionStrategy scaling_parameters=L10,T4,N,-3"));
        assert!(!unified.unwrap().contains_key("min_threshold"));
        assert!(without_effect(&leveled).is_none());
        let windows =
            normalize(&map("class=TimeWindowCompactionStrategy compaction_window_size=2"));
        assert!(without_effect(&windows.unwrap()).unwrap().contains("without time windows"));
    }

    #[test]
    fn what_cassandra_refuses_is_refused_in_its_words() {
        for (given, message) in [
            (
                "class=X",
                "Unable to find compaction strategy class 'org.apache.cassandra.db.compaction.X'",
            ),
            ("enabled=true", "Missing sub-option 'class' for the 'compaction' option"),
            (
                "class=SizeTieredCompactionStrategy sstable_size_in_mb=10 x=1",
                "Properties specified [sstable_size_in_mb, x] are not understood by SizeTieredCompactionStrategy",
            ),
            (
                "class=LeveledCompactionStrategy sstable_size_in_mb=0",
                "sstable_size_in_mb must be larger than 0, but was 0",
            ),
            (
                "class=TimeWindowCompactionStrategy compaction_window_unit=YEARS",
                "YEARS is not valid for compaction_window_unit",
            ),
            (
                "class=SizeTieredCompactionStrategy bucket_low=2",
                "Bucket high value (1.5) is less than or equal bucket low value (2.0)",
            ),
            (
                "class=SizeTieredCompactionStrategy enabled=maybe",
                "enabled should either be 'true' or 'false', not maybe",
            ),
            (
                "class=SizeTieredCompactionStrategy tombstone_threshold=x",
                "x is not a parsable int (base10) for tombstone_threshold",
            ),
            (
                "class=UnifiedCompactionStrategy min_threshold=4",
                "Properties specified [min_threshold] are not understood by UnifiedCompactionStrategy",
            ),
            (
                "class=SizeTieredCompactionStrategy min_threshold=1",
                "Min compaction threshold cannot be less than 2 (got 1)",
            ),
        ] {
            assert_eq!(normalize(&map(given)).unwrap_err().message, message, "{given}");
        }
        let scaling = normalize(&map("class=UnifiedCompactionStrategy scaling_parameters=T1"));
        assert!(scaling.unwrap_err().message.contains("T1"));
    }
}
