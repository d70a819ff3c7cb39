//! The `compression` option: Cassandra's compressors and what they understand, validated with its
//! wording, and kept in the form in which its schema tables show it.

use std::collections::BTreeMap;

use cql_lite::types::text::java_double;

use super::parse::full_class;
use crate::error::{Error, Result};

const PACKAGE: &str = "org.apache.cassandra.io.compress.";

/// The compressors, each with the options that it alone understands.
const COMPRESSORS: [(&str, &[&str]); 5] = [
    ("LZ4Compressor", &["lz4_high_compressor_level", "lz4_compressor_type"]),
    ("SnappyCompressor", &[]),
    ("DeflateCompressor", &[]),
    ("ZstdCompressor", &["compression_level"]),
    ("NoopCompressor", &[]),
];

/// Levels that Zstandard knows.
const ZSTD_LEVELS: std::ops::RangeInclusive<i32> = -131_072..=22;

/// What is kept of a given map; `enabled: false` alone if nothing is compressed.
pub(super) fn normalize(given: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>> {
    let mut map = given.clone();
    let off = BTreeMap::from([("enabled".to_owned(), "false".to_owned())]);
    let enabled = map.remove("enabled").is_none_or(|text| text.eq_ignore_ascii_case("true"));
    if !enabled && !map.is_empty() {
        return Err(Error::config(
            "If the 'enabled' option is set to false no other options must be specified",
        ));
    }
    if !enabled || given.is_empty() {
        return Ok(off);
    }
    let Some(class) = map.remove("class") else {
        return Err(Error::config("Missing sub-option 'class' for the 'compression' option."));
    };
    if class.is_empty() {
        return Err(Error::config(
            "The 'class' option must not be empty. To disable compression use 'enabled' : false",
        ));
    }
    let chunk = chunk_length(map.remove("chunk_length_in_kb"))?;
    let ratio = min_ratio(map.remove("min_compress_ratio"))?;
    let (full, options) = find(&class)?;
    if let Some(unknown) = map.keys().find(|name| !options.contains(&name.as_str())) {
        return Err(Error::config(format!("Unknown compression options {unknown}")));
    }
    check_compressor_options(&map)?;
    map.insert("class".to_owned(), full);
    map.insert("chunk_length_in_kb".to_owned(), chunk.to_string());
    if ratio != 0.0 {
        map.insert("min_compress_ratio".to_owned(), java_double(ratio));
    }
    Ok(map)
}

fn find(class: &str) -> Result<(String, &'static [&'static str])> {
    let names = COMPRESSORS.map(|(name, _)| name);
    let Some(full) = full_class(class, PACKAGE, &names) else {
        let name = if class.contains('.') { class.to_owned() } else { format!("{PACKAGE}{class}") };
        return Err(Error::config(format!("Could not create Compression for type {name}")));
    };
    let options = COMPRESSORS.iter().find(|(name, _)| full.ends_with(name));
    Ok((full, options.map_or(&[], |(_, options)| *options)))
}

fn chunk_length(text: Option<String>) -> Result<i32> {
    let Some(text) = text else { return Ok(16) };
    let length: i32 =
        text.parse().map_err(|_| Error::config("Invalid value for chunk_length_in_kb"))?;
    if length > i32::MAX / 1024 {
        return Err(Error::config(format!("Value of chunk_length_in_kb is too large ({length})")));
    }
    if length <= 0 {
        return Err(Error::config("Invalid negative or null chunk_length_in_kb"));
    }
    if length.count_ones() != 1 {
        return Err(Error::config("chunk_length_in_kb must be a power of 2"));
    }
    Ok(length)
}

fn min_ratio(text: Option<String>) -> Result<f64> {
    let Some(text) = text else { return Ok(0.0) };
    match text.parse::<f64>() {
        Err(_) => Err(Error::config(format!("Invalid value {text} for min_compress_ratio"))),
        Ok(ratio) if ratio < 0.0 => Err(Error::config("Invalid negative min_compress_ratio")),
        Ok(ratio) if ratio == 0.0 || ratio >= 1.0 => Ok(ratio),
        Ok(_) => {
            Err(Error::config("min_compress_ratio can either be 0 or greater than or equal to 1"))
        }
    }
}

fn check_compressor_options(map: &BTreeMap<String, String>) -> Result<()> {
    if let Some(kind) = map.get("lz4_compressor_type")
        && !matches!(kind.as_str(), "fast" | "high")
    {
        return Err(Error::config(format!(
            "Invalid compressor type '{kind}' specified for LZ4 parameter 'lz4_compressor_type'. \
             Valid options are [high, fast]."
        )));
    }
    if let Some(level) = map.get("lz4_high_compressor_level")
        && !level.parse::<i32>().is_ok_and(|level| (1..=17).contains(&level))
    {
        return Err(Error::config(format!(
            "Invalid value [{level}] for parameter 'lz4_high_compressor_level'. Value must be \
             between 1 and 17."
        )));
    }
    if let Some(text) = map.get("compression_level") {
        let cause = match text.parse::<i32>() {
            Ok(level) if ZSTD_LEVELS.contains(&level) => return Ok(()),
            Ok(level) => {
                format!("java.lang.IllegalArgumentException compression_level={level} is invalid")
            }
            Err(_) => format!("java.lang.NumberFormatException For input string: \"{text}\""),
        };
        return Err(Error::config(format!("ZstdCompressor.create() threw an error: {cause}")));
    }
    Ok(())
}

/// What of a normalized map this version does not do, in words for the client.
pub(super) fn without_effect(map: &BTreeMap<String, String>) -> Option<String> {
    let class = map.get("class")?;
    let class = class.strip_prefix(PACKAGE).unwrap_or(class);
    if !matches!(class, "LZ4Compressor" | "NoopCompressor") {
        return Some(format!("{class} is kept, but data is compressed with LZ4 in this version"));
    }
    None
}

/// Whether a sub-option is kept without effect.
pub(super) fn is_without_effect(name: &str) -> bool {
    !matches!(name, "class" | "enabled" | "compression_level")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(text: &str) -> BTreeMap<String, String> {
        let pairs = text.split(' ').filter_map(|pair| pair.split_once('='));
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn compressors_are_kept_in_normal_form() {
        let kept = |text: &str| normalize(&map(text)).unwrap();
        let zstd = kept("class=ZstdCompressor compression_level=7 enabled=true");
        let full =
            format!("class={PACKAGE}ZstdCompressor chunk_length_in_kb=16 compression_level=7");
        assert_eq!(zstd, map(&full));
        assert_eq!(normalize(&zstd).unwrap(), zstd);
        assert_eq!(kept(""), map("enabled=false"));
        assert_eq!(kept("enabled=false"), map("enabled=false"));
        let ratio = kept("class=LZ4Compressor min_compress_ratio=1.50 chunk_length_in_kb=064");
        assert_eq!(ratio["min_compress_ratio"], "1.5");
        assert_eq!(ratio["chunk_length_in_kb"], "64");
        assert_eq!(without_effect(&ratio), None);
        assert!(without_effect(&zstd).unwrap().starts_with("ZstdCompressor is kept"));
    }

    #[test]
    fn what_cassandra_refuses_is_refused_in_its_words() {
        for (given, message) in [
            (
                "class=Nonsense",
                "Could not create Compression for type org.apache.cassandra.io.compress.Nonsense",
            ),
            ("class=a.b.C", "Could not create Compression for type a.b.C"),
            ("chunk_length_in_kb=16", "Missing sub-option 'class' for the 'compression' option."),
            (
                "class=",
                "The 'class' option must not be empty. To disable compression use 'enabled' : false",
            ),
            ("class=SnappyCompressor level=1", "Unknown compression options level"),
            (
                "class=DeflateCompressor compression_level=1",
                "Unknown compression options compression_level",
            ),
            ("class=LZ4Compressor chunk_length_in_kb=3", "chunk_length_in_kb must be a power of 2"),
            (
                "class=LZ4Compressor min_compress_ratio=0.5",
                "min_compress_ratio can either be 0 or greater than or equal to 1",
            ),
            (
                "class=LZ4Compressor enabled=false",
                "If the 'enabled' option is set to false no other options must be specified",
            ),
            (
                "class=ZstdCompressor compression_level=99",
                "ZstdCompressor.create() threw an error: java.lang.IllegalArgumentException compression_level=99 is invalid",
            ),
        ] {
            assert_eq!(normalize(&map(given)).unwrap_err().message, message, "{given}");
        }
    }
}
