//! Many statements in one text, as a shell reads them.

use super::SyntaxError;
use super::cursor::Parser;
use crate::ast::{Position, Statement};
use crate::lexer::{Keyword, Lexer, Symbol, TokenKind};

/// One statement of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptStatement<'a> {
    /// The statement.
    pub statement: Statement,
    /// Its text, without the semicolon.
    pub text: &'a str,
    /// Where it begins in the script.
    pub position: Position,
}

/// Reads statements with semicolons between them; positions, also that of an error, are those in
/// the whole text. Semicolons inside of BEGIN … APPLY BATCH do not end the batch.
pub fn parse_statements(input: &str) -> Result<Vec<ScriptStatement<'_>>, SyntaxError> {
    let mut parser = Parser::new(input);
    let mut statements = Vec::new();
    loop {
        while parser.take_if(Symbol::Semicolon) {}
        if parser.at(TokenKind::End) {
            return Ok(statements);
        }
        parser.restart_counts();
        let first = parser.peek();
        let parsed = parser.statement().and_then(|statement| {
            let end = parser.last_end();
            if !parser.at(TokenKind::End) {
                parser.expect(Symbol::Semicolon)?;
            }
            Ok((statement, end))
        });
        let (statement, end) = parsed.map_err(|failure| failure.into_error(input))?;
        let text = input.get(first.start..end).unwrap_or_default();
        statements.push(ScriptStatement { statement, text, position: first.position });
    }
}

/// A text cut into statements by its semicolons, without parsing them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split<'a> {
    /// The statements that end with a semicolon, without it; empty ones are left out.
    pub complete: Vec<&'a str>,
    /// What stands after the last of these semicolons, without white space and comments around
    /// it: a statement that goes on, or nothing.
    pub rest: &'a str,
}

/// Cuts a text into statements, so that a shell can send each as it was typed, and knows whether
/// to ask for more. Semicolons in strings and comments and inside of a batch do not count. A text
/// that stops being tokens (a quote that is not closed) belongs to the rest.
pub fn split_statements(input: &str) -> Split<'_> {
    let mut lexer = Lexer::new(input);
    let mut complete = Vec::new();
    // The beginning and end of the statement so far.
    let mut span: Option<(usize, usize)> = None;
    let mut in_batch = false;
    let mut previous = TokenKind::End;
    loop {
        let Ok(token) = lexer.next_token() else {
            let start = span.map_or(lexer.offset(), |(start, _)| start);
            return Split { complete, rest: input.get(start..).unwrap_or_default().trim_end() };
        };
        if token.kind == TokenKind::End {
            let rest = span.and_then(|(start, end)| input.get(start..end)).unwrap_or_default();
            return Split { complete, rest };
        }
        if token.kind == Symbol::Semicolon.into() && !in_batch {
            complete.extend(span.take().and_then(|(start, end)| input.get(start..end)));
            continue;
        }
        in_batch = match token.kind {
            TokenKind::Keyword(Keyword::Begin) if span.is_none() => true,
            TokenKind::Keyword(Keyword::Batch) if previous == Keyword::Apply.into() => false,
            _ => in_batch,
        };
        previous = token.kind;
        span = Some((span.map_or(token.start, |(start, _)| start), token.end));
    }
}
