//! What ALTER can say.

use datafusion::sql::sqlparser::ast;

use super::{ObjectKind, Options, Watermark};

/// `ALTER SOURCE | TABLE [IF EXISTS] name action [, ..]`
#[derive(Clone, Debug, PartialEq)]
pub struct Alter {
    /// What is said to be altered.
    pub kind: ObjectKind,
    /// Its name.
    pub name: ast::ObjectName,
    /// `IF EXISTS`
    pub if_exists: bool,
    /// What to do, all or nothing.
    pub actions: Vec<AlterAction>,
}

/// What can be done to a source or table.
#[derive(Clone, Debug, PartialEq)]
pub enum AlterAction {
    /// `SET (option = value, ..)`
    Set(Options),
    /// `RESET (option, ..)`: each with the place where it stands.
    Reset(Vec<(String, usize)>),
    /// `SET WATERMARK FOR column AS expr`
    Watermark(Box<Watermark>),
}

/// `ALTER MATERIALIZED VIEW [IF EXISTS] name ADMIT LATE | DISCARD LATE [WHERE condition]`
#[derive(Clone, Debug, PartialEq)]
pub struct AlterLate {
    /// The view.
    pub name: ast::ObjectName,
    /// `IF EXISTS`
    pub if_exists: bool,
    /// What becomes of them.
    pub action: LateAction,
    /// `WHERE ..`: which of them; all without.
    pub condition: Option<Condition>,
}

/// What becomes of late rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LateAction {
    /// They go into the windows that they came too late for.
    Admit,
    /// They go, and are used for nothing.
    Discard,
}

impl LateAction {
    /// The words that say so.
    pub fn words(self) -> &'static str {
        match self {
            LateAction::Admit => "ADMIT LATE",
            LateAction::Discard => "DISCARD LATE",
        }
    }
}

/// A condition on rows, kept as it was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Its own text.
    pub text: String,
    /// Characters of the statement before it.
    pub offset: usize,
}
