//! The mini-language of `speculative_retry` and `additional_write_policy`, brought to the normal
//! form that Cassandra shows: `99p`, `50ms`, `ALWAYS`, `NEVER`, `MIN(99p,50ms)`, `MAX(…)`.

use crate::error::{Error, Result};

/// The normal form of a policy.
pub(super) fn normalize(text: &str) -> Result<String> {
    let unsupported =
        || Error::config(format!("Specified Speculative Retry Policy [{text}] is not supported"));
    let upper = text.trim().to_uppercase();
    for function in ["MIN", "MAX"] {
        let Some(rest) = upper.strip_prefix(function) else { continue };
        let inner = rest.trim().strip_prefix('(').and_then(|r| r.strip_suffix(')'));
        let (left, right) = inner.and_then(|i| i.split_once(',')).ok_or_else(unsupported)?;
        let left = simple(left.trim()).ok_or_else(unsupported)??;
        let right = simple(right.trim()).ok_or_else(unsupported)??;
        // Two of a kind would be pointless, so Cassandra refuses them.
        if left.ends_with('p') == right.ends_with('p') {
            return Err(Error::config(format!(
                "Invalid value {text} for option 'speculative_retry': \
                MIN and MAX need one percentile and one fixed delay"
            )));
        }
        return Ok(format!("{function}({left},{right})"));
    }
    match upper.as_str() {
        "ALWAYS" => Ok("ALWAYS".to_owned()),
        "NEVER" | "NONE" => Ok("NEVER".to_owned()),
        _ => simple(&upper).ok_or_else(unsupported)?,
    }
}

/// A percentile or a fixed delay, from upper-case text; `None` if it is neither.
fn simple(upper: &str) -> Option<Result<String>> {
    let percentile = upper.strip_suffix("PERCENTILE").or_else(|| upper.strip_suffix('P'));
    if let Some(number) = percentile {
        let value: f64 = number.trim().parse().ok()?;
        if !(value > 0.0 && value < 100.0) {
            return Some(Err(Error::config(format!(
                "Invalid value {upper} for PERCENTILE option 'speculative_retry': must be between \
                 (0.0 and 100.0)"
            ))));
        }
        let rounded = (value * 10_000.0).round() / 10_000.0;
        return Some(Ok(format!("{rounded}p")));
    }
    let value: f64 = upper.strip_suffix("MS")?.trim().parse().ok()?;
    if !value.is_finite() || value < 0.0 {
        return Some(Err(Error::config(format!(
            "Invalid value {upper} for option 'speculative_retry'"
        ))));
    }
    Some(Ok(format!("{}ms", value as i64)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_shown_in_normal_form() {
        let cases = [
            ("99p", "99p"),
            ("99.0PERCENTILE", "99p"),
            ("99.9P", "99.9p"),
            ("50MS", "50ms"),
            ("none", "NEVER"),
            ("Always", "ALWAYS"),
            ("min(99p, 50ms)", "MIN(99p,50ms)"),
        ];
        for (text, want) in cases {
            assert_eq!(normalize(text).unwrap(), want, "{text}");
        }
        for text in ["", "p", "101p", "fast", "MIN(1p)", "MAX(1p,2p)"] {
            assert!(normalize(text).is_err(), "{text}");
        }
    }
}
