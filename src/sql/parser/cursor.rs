//! A cursor over one statement's tokens: sqlparser's `Parser` for expressions and queries, words of our own around it.

use datafusion::sql::sqlparser::ast::{Expr, Ident, ObjectName, Query};
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan};
use weir_common::error::{Error, Result, SqlState};

use crate::parser::split::{End, Piece};
use crate::parser::{PgDialect, check, split, syntax};

/// Levels that sqlparser may descend; its stack grows, and [`crate::parser::depth`] bounds what becomes of the tree.
const RECURSION_MAX: usize = 400;

/// Reads tokens from first to last.
pub(super) struct Cursor<'a> {
    parser: Parser<'a>,
    text: &'a str,
    end: End,
}

impl<'a> Cursor<'a> {
    /// Over all of a statement.
    pub(super) fn new(piece: &Piece<'a>) -> Self {
        Self::over(piece, piece.tokens.clone(), piece.end.clone())
    }

    /// Over a range of a statement's tokens, with the token after it as the end.
    pub(super) fn within(piece: &Piece<'a>, range: std::ops::Range<usize>) -> Self {
        let end = match piece.tokens.get(range.end) {
            None => piece.end.clone(),
            Some(next) => {
                End { position: position(piece.text, next.span.start).unwrap_or(1), token: Some(token_text(piece.text, next).to_string()) }
            }
        };
        Self::over(piece, piece.tokens[range].to_vec(), end)
    }

    fn over(piece: &Piece<'a>, tokens: Vec<TokenWithSpan>, end: End) -> Self {
        let parser = Parser::new(&PgDialect).with_recursion_limit(RECURSION_MAX).with_tokens_with_locations(tokens);
        Cursor { parser, text: piece.text, end }
    }

    /// Tokens read so far.
    pub(super) fn index(&self) -> usize {
        self.parser.index()
    }

    /// The next token; [`Token::EOF`] after the last.
    pub(super) fn peek(&self) -> &TokenWithSpan {
        self.parser.peek_token_ref()
    }

    /// The token `n` after the next.
    pub(super) fn peek_nth(&self, n: usize) -> &Token {
        &self.parser.peek_nth_token_ref(n).token
    }

    /// Whether all tokens are read.
    pub(super) fn done(&self) -> bool {
        self.peek().token == Token::EOF
    }

    /// Reads the next token, whatever it is.
    pub(super) fn next(&mut self) -> Token {
        self.parser.next_token().token
    }

    /// Whether these words come next; `words` is upper case, separated by blanks.
    pub(super) fn at(&self, words: &str) -> bool {
        words.split(' ').enumerate().all(|(n, word)| is_word(self.peek_nth(n), word))
    }

    /// The first of these words that comes next.
    pub(super) fn at_one_of(&self, words: &[&'static str]) -> Option<&'static str> {
        words.iter().copied().find(|word| self.at(word))
    }

    /// Reads these words if they come next, all of them or none.
    pub(super) fn eat(&mut self, words: &str) -> bool {
        let there = self.at(words);
        if there {
            words.split(' ').for_each(|_| self.parser.advance_token());
        }
        there
    }

    /// Reads the first of these that comes next.
    pub(super) fn eat_one_of(&mut self, words: &[&'static str]) -> Option<&'static str> {
        words.iter().copied().find(|word| self.eat(word))
    }

    /// Reads these words, which must come next.
    pub(super) fn expect(&mut self, words: &str) -> Result<()> {
        match words.split(' ').find(|word| !self.eat(word)) {
            None => Ok(()),
            Some(word) => Err(self.unexpected_for(&[word])),
        }
    }

    /// Reads this token if it comes next.
    pub(super) fn eat_token(&mut self, token: &Token) -> bool {
        self.parser.consume_token(token)
    }

    /// Reads this token, which must come next.
    pub(super) fn expect_token(&mut self, token: &Token) -> Result<()> {
        if self.eat_token(token) { Ok(()) } else { Err(self.unexpected()) }
    }

    /// Runs one of sqlparser's own parsers.
    pub(super) fn run<T>(&mut self, parse: impl FnOnce(&mut Parser<'a>) -> Result<T, ParserError>) -> Result<T> {
        parse(&mut self.parser).map_err(|error| syntax::from_parser(error, self))
    }

    /// An identifier.
    pub(super) fn ident(&mut self) -> Result<Ident> {
        self.run(|parser| parser.parse_identifier())
    }

    /// A name with its schema, if it has one.
    pub(super) fn name(&mut self) -> Result<ObjectName> {
        self.run(|parser| parser.parse_object_name(false))
    }

    /// Items with commas between them, at least one.
    pub(super) fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        let mut items = vec![item(self)?];
        while self.eat_token(&Token::Comma) {
            items.push(item(self)?);
        }
        Ok(items)
    }

    /// `(a, b, ..)` if a parenthesis comes next, else nothing.
    pub(super) fn optional_idents(&mut self) -> Result<Vec<Ident>> {
        if !self.eat_token(&Token::LParen) {
            return Ok(Vec::new());
        }
        let idents = self.list(Self::ident)?;
        self.expect_token(&Token::RParen)?;
        Ok(idents)
    }

    /// An expression.
    pub(super) fn expr(&mut self) -> Result<Expr> {
        self.run(|parser| parser.parse_expr())
    }

    /// A query, checked for what it may hold.
    pub(super) fn query(&mut self) -> Result<Box<Query>> {
        let mut query = self.run(|parser| parser.parse_query())?;
        check::query(&mut query)?;
        Ok(query)
    }

    /// A string literal.
    pub(super) fn string(&mut self) -> Result<String> {
        match &self.peek().token {
            Token::SingleQuotedString(_)
            | Token::EscapedStringLiteral(_)
            | Token::DollarQuotedString(_)
            | Token::UnicodeStringLiteral(_) => self.run(|parser| parser.parse_literal_string()),
            _ => Err(self.unexpected()),
        }
    }

    /// All tokens must have been read.
    pub(super) fn finish(&self) -> Result<()> {
        if self.done() { Ok(()) } else { Err(self.unexpected()) }
    }

    /// The position of the next token.
    pub(super) fn position(&self) -> usize {
        self.position_of(self.peek().span.start).unwrap_or(self.end.position)
    }

    /// The position of a place in the statement.
    pub(super) fn position_of(&self, location: Location) -> Option<usize> {
        position(self.text, location)
    }

    /// The text from one token to before another, trimmed, and the characters before it.
    pub(super) fn text_between(&self, from: Location, to: Option<Location>) -> (&'a str, usize) {
        let from = split::offsets(self.text, from).unwrap_or_default();
        let to = to.and_then(|to| split::offsets(self.text, to)).map_or(self.text.len(), |to| to.bytes);
        (self.text[from.bytes..to].trim_end(), from.chars)
    }

    /// A syntax error at the next token.
    pub(super) fn unexpected(&self) -> Error {
        self.unexpected_for(&[])
    }

    /// A syntax error at the next token, with a hint when it nearly is one of `wanted`.
    pub(super) fn unexpected_for(&self, wanted: &[&str]) -> Error {
        syntax::error_at(self, self.peek(), wanted)
    }

    /// What an error says about a token: the text that was typed, and where; no text at the end of input.
    pub(super) fn describe(&self, token: &TokenWithSpan) -> End {
        match position(self.text, token.span.start) {
            Some(position) if token.token != Token::EOF => End { position, token: Some(token_text(self.text, token).to_string()) },
            _ => self.end.clone(),
        }
    }

    /// The token at a location that sqlparser named.
    pub(super) fn token_at(&self, location: Location) -> Option<&TokenWithSpan> {
        (0..)
            .map(|index| self.parser.token_at(index))
            .take_while(|token| token.token != Token::EOF)
            .find(|token| token.span.start == location)
    }

    /// The words before a token, last first.
    pub(super) fn words_before(&self, location: Location) -> impl Iterator<Item = &str> {
        let index = (0..).take_while(|index| {
            let token = self.parser.token_at(*index);
            token.token != Token::EOF && (location.line == 0 || token.span.start < location)
        });
        index.last().into_iter().flat_map(|last| (0..=last).rev()).map(|index| &self.parser.token_at(index).token).map(
            |token| match token {
                Token::Word(word) if word.quote_style.is_none() => word.value.as_str(),
                _ => "",
            },
        )
    }

    /// What Weir does not do, at a position.
    pub(super) fn unsupported(&self, position: usize, message: impl Into<String>) -> Error {
        Error::new(SqlState::FEATURE_NOT_SUPPORTED, message).with_position(position)
    }
}

/// Whether a token is this word, in any case, without quotes.
pub(super) fn is_word(token: &Token, word: &str) -> bool {
    matches!(token, Token::Word(found) if found.quote_style.is_none() && found.value.eq_ignore_ascii_case(word))
}

/// Where a location is in a text: characters, from 1.
pub(super) fn position(text: &str, location: Location) -> Option<usize> {
    split::offsets(text, location).map(|at| at.chars + 1)
}

/// A name as Postgres folds it: lower case unless it was quoted.
pub(super) fn folded(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}

fn token_text<'t>(text: &'t str, token: &TokenWithSpan) -> &'t str {
    let start = split::offsets(text, token.span.start).unwrap_or_default().bytes;
    let end = split::offsets(text, token.span.end).map_or(text.len(), |end| end.bytes).max(start);
    &text[start..end]
}
