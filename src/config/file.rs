//! The configuration file: reading one, and writing one that says everything.

use std::fmt::Write;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Config, ConfigError, Key, keys};

/// Width of the comments that [`Config::document`] writes.
const COMMENT_CHARS: usize = 96;

impl Config {
    /// Sets everything that the TOML text of `file` says.
    ///
    /// # Errors
    /// Names the file, the line, and what would be right.
    pub fn set_file(&mut self, file: &str, text: &str) -> Result<(), ConfigError> {
        let at = |offset: usize, problem: String| {
            let line = text.get(..offset).map_or(1, |before| before.matches('\n').count() + 1);
            ConfigError { place: format!("{file}:{line}"), problem }
        };
        let table = DeTable::parse(text).map_err(|error| {
            at(error.span().map_or(0, |span| span.start), error.message().to_string())
        })?;
        for (name, value) in table.get_ref() {
            let DeValue::Table(section) = value.get_ref() else {
                self.set_value(name.get_ref(), value)
                    .map_err(|problem| at(name.span().start, problem))?;
                continue;
            };
            for (key, value) in section {
                self.set_value(&format!("{}.{}", name.get_ref(), key.get_ref()), value)
                    .map_err(|problem| at(key.span().start, problem))?;
            }
        }
        Ok(())
    }

    fn set_value(&mut self, name: &str, value: &Spanned<DeValue<'_>>) -> Result<(), String> {
        let key = Key::named(name)?;
        let text = match value.get_ref() {
            DeValue::String(text) => text.to_string(),
            DeValue::Integer(number) if number.radix() == 10 => number.as_str().to_string(),
            DeValue::Boolean(value) => value.to_string(),
            other => return Err(format!("{name}: {} is not {}", other.type_str(), key.range)),
        };
        key.set(self, &text)
    }

    /// The configuration as a file: every key with its meaning, its range, its default and the
    /// value that it has here.
    #[must_use]
    pub fn document(&self) -> String {
        let defaults = Config::default();
        let mut out = String::from(HEAD);
        let mut section = "";
        for key in keys() {
            let (in_section, name) = key.name.split_once('.').unwrap_or(("", key.name));
            if in_section != section {
                section = in_section;
                line(&mut out, format_args!("\n[{section}]"));
            }
            line(&mut out, format_args!(""));
            comment(&mut out, key.help);
            let range = format!("Is {}. Default: {}.", key.range, key.show(&defaults));
            comment(&mut out, &range);
            line(&mut out, format_args!("{name} = {}", quoted(key, &key.show(self))));
        }
        out
    }
}

const HEAD: &str = "\
# Configuration of a Helenus node: helenus serve --config FILE
#
# Every key is here, with its default. What is not said has its default, so a file of one's own
# holds only what differs. A key `section.name` is also --set section.name=value on the command
# line and HELENUS_SECTION_NAME in the environment; the command line wins over the environment,
# and the environment over the file. `helenus config` prints this file; with the options of
# `helenus serve` it prints what is in force.
";

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{text}");
}

fn comment(out: &mut String, text: &str) {
    let mut current = String::from("#");
    for word in text.split_whitespace() {
        if current.chars().count() + 1 + word.chars().count() > COMMENT_CHARS {
            line(out, format_args!("{current}"));
            current = String::from("#");
        }
        current.push(' ');
        current.push_str(word);
    }
    line(out, format_args!("{current}"));
}

fn quoted(key: &Key, value: &str) -> String {
    if key.is_bare(value) { value.to_string() } else { toml::Value::from(value).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHIPPED: &str = include_str!("../../config/helenus.toml");

    #[test]
    fn the_shipped_file_says_every_key_and_its_true_default() {
        let mut config =
            Config { cluster_name: "other".into(), frame_bytes_max: 1, ..Config::default() };
        config.set_file("config/helenus.toml", SHIPPED).unwrap();
        assert!(config.settings().eq(Config::default().settings()));
        let document = Config::default().document();
        let different = SHIPPED.lines().zip(document.lines()).find(|(is, should)| is != should);
        assert!(
            SHIPPED == document,
            "a key has changed: run `helenus config > config/helenus.toml`; {different:?}"
        );
    }

    #[test]
    fn what_is_written_is_read_again() {
        let mut config = Config::default();
        config.set("cluster_name", "it's \"quoted\" \\ here").unwrap();
        config.set("commit_log.sync_period", "1500ms").unwrap();
        config.set("cache.block_bytes", "0").unwrap();
        let mut again = Config::default();
        again.set_file("x", &config.document()).unwrap();
        assert!(config.settings().eq(again.settings()));
    }

    #[test]
    fn mistakes_are_named_with_file_and_line() {
        let refusal = |text| Config::default().set_file("a.toml", text).unwrap_err().to_string();
        assert_eq!(
            refusal("[listen]\n\ncql_prt = 1\n"),
            "a.toml:3: there is no key 'listen.cql_prt'; the nearest is 'listen.cql_port'"
        );
        assert_eq!(
            refusal("\nlisten.cql_port = 70000\n"),
            "a.toml:2: listen.cql_port: '70000' is not a whole number from 0 to 65535"
        );
        assert_eq!(
            refusal("[cache]\nblock_bytes = '64MB'\n"),
            "a.toml:2: cache.block_bytes: '64MB' is not a size from 0 to 256GiB \
             (B, KiB, MiB, GiB, TiB)"
        );
        assert_eq!(
            refusal("[limits]\nstartup_timeout = 30\n"),
            "a.toml:2: limits.startup_timeout: '30' is not a duration from 100ms to 1h \
             (ns, us, ms, s, m, h, d)"
        );
        assert!(refusal("\n[listen\n").starts_with("a.toml:2: "), "{}", refusal("\n[listen\n"));
        assert!(refusal("rack = 'a'\nrack = 'b'\n").starts_with("a.toml:2: duplicate key"));
        assert!(refusal("[listen.deep]\ncql_port = 1\n").contains("no key 'listen.deep'"));
        assert!(refusal("rack = ['a']\n").contains("rack: array is not 1 to 255"));
        assert!(refusal("[[rack]]\nx = 1\n").starts_with("a.toml:1: "));
    }
}
