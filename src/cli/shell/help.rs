//! HELP: the syntax of every statement and command, from `help.txt`.

/// `== TOPIC` lines with their texts.
const TEXT: &str = include_str!("help.txt");

/// The topics, in order.
pub(super) fn topics() -> impl Iterator<Item = &'static str> {
    TEXT.lines().filter_map(|line| line.strip_prefix("== "))
}

/// The text of a topic.
fn topic(name: &str) -> Option<&'static str> {
    let head = topics().find(|topic| topic.eq_ignore_ascii_case(name))?;
    let start = TEXT.find(&format!("== {head}\n"))? + head.len() + 4;
    let rest = TEXT.get(start..)?;
    Some(rest.get(..rest.find("\n== ").unwrap_or(rest.len()))?.trim_end())
}

/// What HELP answers for these topics.
pub(super) fn text(asked: &[String]) -> String {
    if asked.is_empty() {
        return format!("\n{}\n", topic("INTRODUCTION").unwrap_or_default());
    }
    // Topics of several words may be written with or without underscores between them.
    let whole = asked.join("_");
    if let Some(text) = topic(&whole) {
        return format!("\n{text}\n\n");
    }
    let mut out = String::new();
    for name in asked {
        match topic(name) {
            Some(text) => out.push_str(&format!("\n{text}\n\n")),
            None => {
                let near = crate::suggest::nearest(name, topics());
                let near = near.map_or(String::new(), |near| format!(" Did you mean {near}?"));
                out.push_str(&format!(
                    "There is no help on '{name}'.{near} HELP lists the topics.\n"
                ));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_listed_topic_has_a_text() {
        let introduction = topic("INTRODUCTION").unwrap();
        let listed: Vec<_> = introduction
            .split_whitespace()
            .filter(|word| {
                word.len() > 2 && word.bytes().all(|b| b.is_ascii_uppercase() || b == b'_')
            })
            .filter(|word| !["CQL"].contains(word))
            .collect();
        assert!(listed.len() > 40, "{listed:?}");
        for name in listed {
            assert!(topic(name).is_some_and(|text| text.len() > 10), "{name}");
        }
        for name in topics().filter(|name| *name != "INTRODUCTION") {
            assert!(introduction.contains(name), "{name} is not in the introduction");
        }
    }

    #[test]
    fn topics_are_found_and_near_ones_named() {
        let asked = |text: &str| super::text(&[text.to_owned()]);
        assert!(asked("select").contains("SELECT"));
        assert!(text(&["create".to_owned(), "table".to_owned()]).contains("PRIMARY KEY"));
        assert!(asked("selct").contains("Did you mean SELECT?"));
    }
}
