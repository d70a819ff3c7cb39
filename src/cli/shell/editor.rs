//! The line editor: statements over several lines, completion, colours while typing, history.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};

use cql_lite::lexer::{KeywordClass, Lexer, TokenKind};
use reedline::{
    Color, ColumnarMenu, Completer, CompletionResult, EditCommand, Emacs, Highlighter, KeyCode,
    KeyModifiers, MenuBuilder, Prompt, PromptEditMode, PromptHistorySearch,
    PromptHistorySearchStatus, Reedline, ReedlineEvent, ReedlineMenu, Span, StyledText, Suggestion,
    ValidationResult, Validator, default_emacs_keybindings,
};

use super::complete::complete;
use super::history;
use super::schema::Schema;
use super::script::split;

const MENU: &str = "completion";

/// What completion knows: the schema and the keyspace in use.
#[derive(Debug, Clone, Default)]
pub(super) struct Names(Arc<Mutex<(Arc<Schema>, Option<String>)>>);

impl Names {
    /// From now on completion knows this.
    pub(super) fn set(&self, schema: Arc<Schema>, keyspace: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (schema, keyspace);
    }

    fn get(&self) -> (Arc<Schema>, Option<String>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// An editor that completes what `names` knows.
pub(super) fn editor(names: Names, colors: bool) -> Reedline {
    let mut keys = default_emacs_keybindings();
    keys.add_binding(
        KeyModifiers::NONE,
        KeyCode::Tab,
        ReedlineEvent::UntilFound(vec![
            ReedlineEvent::Menu(MENU.to_owned()),
            ReedlineEvent::MenuNext,
        ]),
    );
    keys.add_binding(KeyModifiers::SHIFT, KeyCode::BackTab, ReedlineEvent::MenuPrevious);
    keys.add_binding(
        KeyModifiers::ALT,
        KeyCode::Enter,
        ReedlineEvent::Edit(vec![EditCommand::InsertNewline]),
    );
    let menu = ColumnarMenu::default().with_name(MENU).with_columns(4);
    let editor = Reedline::create()
        .with_ansi_colors(colors)
        .with_completer(Box::new(CqlCompleter(names)))
        .with_quick_completions(true)
        .with_partial_completions(true)
        .with_menu(ReedlineMenu::EngineCompleter(Box::new(menu)))
        .with_edit_mode(Box::new(Emacs::new(keys)))
        .with_validator(Box::new(Whole))
        .use_bracketed_paste(true);
    let editor = if colors { editor.with_highlighter(Box::new(CqlHighlighter)) } else { editor };
    match history::open() {
        Some(kept) => editor.with_history(Box::new(kept)),
        None => editor,
    }
}

struct CqlCompleter(Names);

impl Completer for CqlCompleter {
    fn complete(&mut self, line: &str, position: usize) -> CompletionResult {
        let (schema, keyspace) = self.0.get();
        let completion = complete(line, position, &schema, keyspace.as_deref());
        let suggestions = completion.candidates.into_iter().map(|candidate| {
            let goes_on = candidate.text.ends_with(['.', '(', '{']);
            Suggestion {
                append_whitespace: !goes_on,
                span: Span { start: completion.start.min(position), end: position },
                value: candidate.text,
                ..Suggestion::default()
            }
        });
        CompletionResult::fresh(suggestions.collect::<Vec<_>>())
    }
}

/// Enter sends what is whole, and begins a new line in what is not.
struct Whole;

impl Validator for Whole {
    fn validate(&self, line: &str) -> ValidationResult {
        if split(line).rest.is_some() {
            ValidationResult::Incomplete
        } else {
            ValidationResult::Complete
        }
    }
}

struct CqlHighlighter;

impl Highlighter for CqlHighlighter {
    fn highlight(&self, line: &str, _cursor: usize) -> StyledText {
        let plain = Color::Default.normal();
        let mut styled = StyledText::new();
        let mut lexer = Lexer::new(line);
        let mut at = 0;
        while let Ok(token) = lexer.next_token() {
            let style = match token.kind {
                TokenKind::End => break,
                TokenKind::Keyword(keyword) => match keyword.class() {
                    KeywordClass::Reserved => Color::Blue.bold(),
                    KeywordClass::Type(_) => Color::Cyan.normal(),
                    _ => plain,
                },
                TokenKind::String => Color::Yellow.normal(),
                TokenKind::Integer
                | TokenKind::Float
                | TokenKind::Boolean
                | TokenKind::Duration
                | TokenKind::Uuid
                | TokenKind::Hex => Color::Green.normal(),
                _ => plain,
            };
            styled.push((plain, line.get(at..token.start).unwrap_or_default().to_owned()));
            styled.push((style, token.source(line).to_owned()));
            at = token.end;
        }
        styled.push((plain, line.get(at..).unwrap_or_default().to_owned()));
        styled
    }
}

/// `user@helenus:keyspace> `
#[derive(Debug)]
pub(super) struct ShellPrompt {
    text: String,
}

impl ShellPrompt {
    /// The prompt of a user in a keyspace.
    pub(super) fn new(user: Option<&str>, keyspace: Option<&str>) -> Self {
        let user = user.map_or_else(String::new, |user| format!("{user}@"));
        let keyspace = keyspace.map_or_else(String::new, |keyspace| format!(":{keyspace}"));
        ShellPrompt { text: format!("{user}helenus{keyspace}") }
    }
}

impl Prompt for ShellPrompt {
    fn render_prompt_left(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.text)
    }

    fn render_prompt_right(&self) -> Cow<'_, str> {
        Cow::Borrowed("")
    }

    fn render_prompt_indicator(&self, _mode: PromptEditMode) -> Cow<'_, str> {
        Cow::Borrowed("> ")
    }

    fn render_prompt_multiline_indicator(&self) -> Cow<'_, str> {
        let dots = self.text.chars().count().saturating_sub(3);
        Cow::Owned(format!("{}...> ", " ".repeat(dots)))
    }

    fn render_prompt_history_search_indicator(&self, search: PromptHistorySearch) -> Cow<'_, str> {
        let failing = match search.status {
            PromptHistorySearchStatus::Passing => "",
            PromptHistorySearchStatus::Failing => "failing ",
        };
        Cow::Owned(format!("({failing}search: {}) ", search.term))
    }
}
