//! Where in a statement's text something stands: positions in characters, from 1.

use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};

use crate::parser::{self, PgDialect};

/// Looks things up in one text. It reads the text anew for each question: there is one question per error.
#[derive(Clone, Copy)]
pub(super) struct Locate<'a> {
    sql: &'a str,
}

impl<'a> Locate<'a> {
    pub(super) fn new(sql: &'a str) -> Self {
        Locate { sql }
    }

    /// A line and column of the text.
    pub(super) fn location(self, line: u64, column: u64) -> Option<usize> {
        let at = parser::offsets(self.sql, Location { line, column })?;
        (at.bytes < self.sql.len()).then_some(at.chars + 1)
    }

    /// The text between two positions.
    pub(super) fn slice(self, start: usize, end: usize) -> String {
        self.sql.chars().skip(start - 1).take(end.saturating_sub(start)).collect()
    }

    /// A column reference, with its qualifier if it has one.
    pub(super) fn column(self, table: Option<&str>, name: &str) -> Option<usize> {
        let tokens = self.tokens();
        let at = (0..tokens.len()).find(|&n| {
            let qualified = n >= 2 && tokens[n - 1].token == Token::Period;
            is_name(&tokens[n].token, name)
                && match table {
                    Some(table) => qualified && is_name(&tokens[n - 2].token, table),
                    None => !qualified,
                }
        })?;
        self.token(&tokens[if table.is_some() { at - 2 } else { at }])
    }

    /// A relation in FROM and the like: its whole dotted name.
    pub(super) fn relation(self, name: &str) -> Option<usize> {
        let parts: Vec<&str> = name.split('.').collect();
        let tokens = self.tokens();
        let at = (0..tokens.len()).find(|&n| {
            parts.iter().enumerate().all(|(i, part)| {
                tokens.get(n + 2 * i).is_some_and(|token| is_name(&token.token, part))
                    && (i == 0 || tokens[n + 2 * i - 1].token == Token::Period)
            })
        })?;
        self.token(&tokens[at])
    }

    /// The name of a function before its parenthesis.
    pub(super) fn function(self, name: &str) -> Option<usize> {
        let tokens = self.tokens();
        let at = call(&tokens, name)?;
        self.token(&tokens[at])
    }

    /// Whether a function is called as `f()`.
    pub(super) fn has_no_arguments(self, name: &str) -> bool {
        let tokens = self.tokens();
        call(&tokens, name).is_some_and(|at| tokens.get(at + 2).is_some_and(|token| token.token == Token::RParen))
    }

    /// A string literal with this value.
    pub(super) fn string(self, value: &str) -> Option<usize> {
        let tokens = self.tokens();
        self.token(tokens.iter().find(|token| matches!(&token.token, Token::SingleQuotedString(text) if text == value))?)
    }

    /// A number as it was written.
    pub(super) fn number(self, value: &str) -> Option<usize> {
        let tokens = self.tokens();
        self.token(tokens.iter().find(|token| matches!(&token.token, Token::Number(text, _) if text == value))?)
    }

    /// A word, such as the name of a type.
    pub(super) fn word(self, name: &str) -> Option<usize> {
        let tokens = self.tokens();
        self.token(tokens.iter().find(|token| is_name(&token.token, name))?)
    }

    /// The last place where a word stands.
    pub(super) fn last_word(self, name: &str) -> Option<usize> {
        let tokens = self.tokens();
        self.token(tokens.iter().rfind(|token| is_name(&token.token, name))?)
    }

    fn token(self, token: &TokenWithSpan) -> Option<usize> {
        self.location(token.span.start.line, token.span.start.column)
    }

    fn tokens(self) -> Vec<TokenWithSpan> {
        let mut tokens = Tokenizer::new(&PgDialect, self.sql).tokenize_with_location().unwrap_or_default();
        tokens.retain(|token| !matches!(token.token, Token::Whitespace(_)));
        tokens
    }
}

fn call(tokens: &[TokenWithSpan], name: &str) -> Option<usize> {
    tokens.windows(2).position(|pair| is_name(&pair[0].token, name) && pair[1].token == Token::LParen)
}

fn is_name(token: &Token, name: &str) -> bool {
    match token {
        Token::Word(word) if word.quote_style.is_some() => word.value == name,
        Token::Word(word) => word.value.eq_ignore_ascii_case(name),
        _ => false,
    }
}
