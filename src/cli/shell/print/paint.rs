//! Colours, as cqlsh has them, and how wide a text is on the screen without them.

use unicode_width::UnicodeWidthChar;

/// What a piece of output is, which decides its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli::shell) enum Paint {
    /// Text.
    Text,
    /// Numbers, times, UUIDs and the like.
    Constant,
    /// Blobs.
    Blob,
    /// Brackets and commas.
    Bracket,
    /// Null, and errors.
    Red,
    /// The name of a partition key column.
    PartitionKey,
    /// The name of a clustering column.
    Clustering,
    /// The name of a static column.
    Static,
    /// The name of any other column.
    Column,
}

impl Paint {
    fn code(self) -> &'static str {
        match self {
            Paint::Text => "\x1b[0;1;33m",
            Paint::Constant => "\x1b[0;1;32m",
            Paint::Blob => "\x1b[0;35m",
            Paint::Bracket => "\x1b[0;1;34m",
            Paint::Red | Paint::PartitionKey => "\x1b[0;1;31m",
            Paint::Clustering => "\x1b[0;1;36m",
            Paint::Static => "\x1b[0;1;37m",
            Paint::Column => "\x1b[0;1;35m",
        }
    }
}

/// Appends `text` in its colour, if there are colours.
pub(in crate::cli::shell) fn paint(out: &mut String, colors: bool, paint: Paint, text: &str) {
    if colors {
        out.push_str(paint.code());
        out.push_str(text);
        out.push_str("\x1b[0m");
    } else {
        out.push_str(text);
    }
}

/// `text` in its colour.
pub(in crate::cli::shell) fn painted(colors: bool, with: Paint, text: &str) -> String {
    let mut out = String::new();
    paint(&mut out, colors, with, text);
    out
}

/// Columns that `text` takes on a terminal; colours take none.
pub(in crate::cli::shell) fn width(text: &str) -> usize {
    let mut width = 0;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character == '\x1b' {
            characters.by_ref().find(|end| *end == 'm');
        } else {
            width += character.width().unwrap_or(0);
        }
    }
    width
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_and_wide_characters_are_counted_as_the_screen_does() {
        assert_eq!(width("abc"), 3);
        assert_eq!(width("日本"), 4);
        assert_eq!(width(&painted(true, Paint::Red, "null")), 4);
        assert_eq!(painted(false, Paint::Red, "null"), "null");
    }
}
