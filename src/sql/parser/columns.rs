//! Column lists: columns with their constraints, table constraints and watermarks.

use datafusion::sql::sqlparser::ast::{ColumnOption, DeferrableInitial, Expr, Ident};
use datafusion::sql::sqlparser::tokenizer::Token;
use weir_common::error::{Error, Result, SqlState, nearest};

use crate::parser::cursor::{self, Cursor};
use crate::statement::{CheckSpec, ColumnSpec, Watermark};

/// What stands between the parentheses of `CREATE TABLE` and `CREATE SOURCE`.
#[derive(Default)]
pub(super) struct Columns {
    pub(super) columns: Vec<ColumnSpec>,
    pub(super) primary_key: Option<Vec<Ident>>,
    pub(super) primary_key_name: Option<Ident>,
    pub(super) checks: Vec<CheckSpec>,
    pub(super) watermark: Option<Watermark>,
}

/// `(column type constraints, .., table constraints, WATERMARK FOR ..)` of the relation called `relation`.
pub(super) fn columns(cursor: &mut Cursor<'_>, relation: &str) -> Result<Columns> {
    let mut all = Columns::default();
    cursor.expect_token(&Token::LParen)?;
    cursor.list(|cursor| item(cursor, relation, &mut all))?;
    cursor.expect_token(&Token::RParen)?;
    Ok(all)
}

fn item(cursor: &mut Cursor<'_>, relation: &str, all: &mut Columns) -> Result<()> {
    let position = cursor.position();
    if cursor.at("WATERMARK FOR") {
        let watermark = watermark(cursor)?;
        if all.watermark.replace(watermark).is_some() {
            return Err(syntax("a relation has one watermark", position));
        }
        return Ok(());
    }
    if at_table_constraint(cursor) {
        let name = if cursor.eat("CONSTRAINT") { Some(cursor.ident()?) } else { None };
        return table_constraint(cursor, relation, name, all);
    }
    let column = column(cursor, relation, all)?;
    if let Some(earlier) = all.columns.iter().find(|earlier| cursor::folded(&earlier.name) == cursor::folded(&column.name)) {
        let message = format!("column \"{}\" specified more than once", cursor::folded(&earlier.name));
        return Err(Error::new(SqlState::DUPLICATE_COLUMN, message).with_position(position));
    }
    all.columns.push(column);
    Ok(())
}

/// `WATERMARK FOR column AS expr`
pub(super) fn watermark(cursor: &mut Cursor<'_>) -> Result<Watermark> {
    let position = cursor.position();
    cursor.expect("WATERMARK FOR")?;
    let column = cursor.ident()?;
    cursor.expect("AS")?;
    Ok(Watermark { column, expr: cursor.expr()?, position })
}

fn at_table_constraint(cursor: &Cursor<'_>) -> bool {
    cursor.at_one_of(&["CONSTRAINT", "PRIMARY KEY", "FOREIGN KEY", "LIKE"]).is_some()
        || (cursor.at_one_of(&["UNIQUE", "CHECK"]).is_some())
        || (cursor.at("EXCLUDE") && (*cursor.peek_nth(1) == Token::LParen || cursor::is_word(cursor.peek_nth(1), "USING")))
}

fn table_constraint(cursor: &mut Cursor<'_>, relation: &str, name: Option<Ident>, all: &mut Columns) -> Result<()> {
    let position = cursor.position();
    if cursor.eat("PRIMARY KEY") {
        if cursor.at("USING") {
            return Err(cursor
                .unsupported(position, "PRIMARY KEY USING INDEX is not supported yet")
                .with_hint("Name the columns: PRIMARY KEY (id)."));
        }
        if cursor.peek().token != Token::LParen {
            return Err(cursor.unexpected());
        }
        let columns = cursor.optional_idents()?;
        characteristics(cursor)?;
        return set_primary_key(all, relation, columns, name, position);
    }
    if cursor.at("CHECK") {
        all.checks.push(check(cursor, name)?);
        return characteristics(cursor);
    }
    match cursor.at_one_of(&["UNIQUE", "FOREIGN KEY", "EXCLUDE", "LIKE"]) {
        Some("FOREIGN KEY") => Err(refuse_constraint(cursor, "REFERENCES", position)),
        Some("LIKE") => Err(cursor.unsupported(position, "LIKE in CREATE TABLE is not supported yet").with_hint("Name the columns.")),
        Some(word) => Err(refuse_constraint(cursor, word, position)),
        None => Err(cursor.unexpected_for(&["PRIMARY", "UNIQUE", "CHECK", "FOREIGN"])),
    }
}

fn column(cursor: &mut Cursor<'_>, relation: &str, all: &mut Columns) -> Result<ColumnSpec> {
    let position = cursor.position();
    let name = cursor.ident()?;
    let folded = cursor::folded(&name);
    if matches!(cursor.peek().token, Token::Comma | Token::RParen) {
        return Err(cursor.unexpected().with_detail(format!("Column \"{folded}\" has no type.")));
    }
    let data_type = cursor.run(|parser| parser.parse_data_type())?;
    let mut column = ColumnSpec { name, data_type, not_null: false, default: None, primary_key: false, position };
    let mut null = false;
    loop {
        let constraint = if cursor.eat("CONSTRAINT") { Some(cursor.ident()?) } else { None };
        let position = cursor.position();
        let word = match &cursor.peek().token {
            Token::Word(word) => word.value.to_uppercase(),
            _ => String::new(),
        };
        if ["UNIQUE", "REFERENCES", "GENERATED", "COLLATE"].contains(&word.as_str()) {
            return Err(refuse_constraint(cursor, &word, position));
        }
        if word == "CHECK" {
            all.checks.push(check(cursor, constraint)?);
            characteristics(cursor)?;
            continue;
        }
        match cursor.run(|parser| parser.parse_optional_column_option())? {
            None if constraint.is_some() => return Err(cursor.unexpected()),
            None => break,
            Some(ColumnOption::NotNull) => column.not_null = true,
            Some(ColumnOption::Null) => null = true,
            Some(ColumnOption::Default(expr)) => {
                if column.default.replace(expr).is_some() {
                    return Err(syntax(
                        format!("multiple default values specified for column \"{folded}\" of table \"{relation}\""),
                        position,
                    ));
                }
            }
            Some(ColumnOption::PrimaryKey(key)) => {
                if key.characteristics.is_some_and(|c| c.deferrable == Some(true) || c.initially == Some(DeferrableInitial::Deferred)) {
                    return Err(no_deferrable(cursor, position));
                }
                column.primary_key = true;
                set_primary_key(all, relation, vec![column.name.clone()], constraint, position)?;
            }
            Some(_) => return Err(cursor.unsupported(position, format!("column option {word} is not supported yet"))),
        }
        if null && (column.not_null || column.primary_key) {
            return Err(syntax(
                format!("conflicting NULL/NOT NULL declarations for column \"{folded}\" of table \"{relation}\""),
                position,
            ));
        }
    }
    Ok(column)
}

/// `CHECK (condition)`
fn check(cursor: &mut Cursor<'_>, name: Option<Ident>) -> Result<CheckSpec> {
    let position = cursor.position();
    cursor.expect("CHECK")?;
    cursor.expect_token(&Token::LParen)?;
    let expr = cursor.expr()?;
    cursor.expect_token(&Token::RParen)?;
    if cursor.at("NO INHERIT") {
        return Err(cursor
            .unsupported(cursor.position(), "NO INHERIT is not supported")
            .with_hint("No table inherits from another; leave it out."));
    }
    Ok(CheckSpec { name, expr, position })
}

/// `NOT DEFERRABLE INITIALLY IMMEDIATE` is how Weir checks a key; other wishes are refused.
fn characteristics(cursor: &mut Cursor<'_>) -> Result<()> {
    loop {
        let position = cursor.position();
        if cursor.eat("NOT DEFERRABLE") || cursor.eat("INITIALLY IMMEDIATE") {
            continue;
        }
        if cursor.at("DEFERRABLE") || cursor.at("INITIALLY DEFERRED") {
            return Err(no_deferrable(cursor, position));
        }
        return Ok(());
    }
}

fn no_deferrable(cursor: &Cursor<'_>, position: usize) -> Error {
    cursor
        .unsupported(position, "DEFERRABLE constraints are not supported yet")
        .with_hint("Constraints are checked when a statement runs, and keys once more at commit; leave the words out.")
}

fn set_primary_key(all: &mut Columns, relation: &str, columns: Vec<Ident>, name: Option<Ident>, position: usize) -> Result<()> {
    if all.primary_key.is_some() {
        let message = format!("multiple primary keys for table \"{relation}\" are not allowed");
        return Err(Error::new(SqlState::INVALID_TABLE_DEFINITION, message).with_position(position));
    }
    all.primary_key = Some(columns);
    all.primary_key_name = name;
    Ok(())
}

fn refuse_constraint(cursor: &Cursor<'_>, word: &str, position: usize) -> Error {
    let (what, hint) = match word {
        "UNIQUE" => ("UNIQUE constraints are", "Only PRIMARY KEY is enforced; declare the column as the key, or leave the constraint out."),
        "REFERENCES" => ("foreign keys are", "Leave it out; a view with a LEFT JOIN shows rows without a counterpart."),
        "EXCLUDE" => ("EXCLUDE constraints are", "Leave it out."),
        "GENERATED" => ("GENERATED columns are", "Compute the column in a view over the table."),
        "COLLATE" => ("COLLATE is", "Text is compared by its bytes, as with COLLATE \"C\"."),
        _ => ("this constraint is", "Leave it out."),
    };
    cursor.unsupported(position, format!("{what} not supported yet")).with_hint(hint)
}

impl Columns {
    /// The key and the watermark must name columns, each once. Without columns the connector knows them.
    pub(super) fn check(&self, cursor: &Cursor<'_>) -> Result<()> {
        if self.columns.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = self.columns.iter().map(|column| cursor::folded(&column.name)).collect();
        let missing = |ident: &Ident, place: &str| {
            let name = cursor::folded(ident);
            if names.contains(&name) {
                return Ok(name);
            }
            let error = Error::new(SqlState::UNDEFINED_COLUMN, format!("column \"{name}\" named in {place} does not exist"));
            let error = match cursor.position_of(ident.span.start) {
                Some(position) => error.with_position(position),
                None => error,
            };
            Err(match nearest(&name, names.iter().map(String::as_str)) {
                Some(near) => error.with_hint(format!("Perhaps you meant the column \"{near}\".")),
                None => error,
            })
        };
        let mut key: Vec<String> = Vec::new();
        for ident in self.primary_key.iter().flatten() {
            let name = missing(ident, "key")?;
            if key.contains(&name) {
                let error = Error::new(SqlState::DUPLICATE_COLUMN, format!("column \"{name}\" appears twice in primary key constraint"));
                return Err(match cursor.position_of(ident.span.start) {
                    Some(position) => error.with_position(position),
                    None => error,
                });
            }
            key.push(name);
        }
        if let Some(watermark) = &self.watermark {
            missing(&watermark.column, "WATERMARK FOR")?;
            if let Expr::Identifier(ident) = &watermark.expr {
                missing(ident, "WATERMARK FOR")?;
            }
        }
        Ok(())
    }
}

fn syntax(message: impl Into<String>, position: usize) -> Error {
    Error::new(SqlState::SYNTAX_ERROR, message).with_position(position)
}
