//! The two ways check: what a materialized view holds equals what its query answers as a batch, at the same moment.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use libtest_mimic::Failed;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, SimpleQueryMessage};

/// How long a view over a source may stay behind it.
const PATIENCE: Duration = Duration::from_secs(60);
/// Rows of a difference that are shown.
const SHOWN: usize = 10;

/// A materialized view and the query it was made of.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    name: String,
    query: String,
    windows: Windows,
}

/// What becomes of a view's windows, as its clauses say.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Windows {
    /// They are always there.
    Stay,
    /// They close: the view has all that its query answers once its sources have ended, but what came too late.
    Close,
    /// They are removed some day.
    Go,
}

/// The materialized views that a file has created so far.
#[derive(Debug, Default)]
pub struct Views {
    views: Vec<View>,
    sources: bool,
    dropped: bool,
}

impl Views {
    /// Learns from a statement that succeeded.
    pub fn note(&mut self, sql: &str) {
        let words = Words::new(sql);
        if words.start_with(&["CREATE", "SOURCE"]) {
            self.sources = true;
        } else if words.start_with(&["DROP"]) {
            self.dropped = true;
        } else if let Some(view) = definition(&words) {
            let repeated = sql.to_uppercase().contains("IF NOT EXISTS") && self.views.iter().any(|known| known.name == view.name);
            if !repeated {
                self.views.retain(|known| known.name != view.name);
                self.views.push(view);
            }
        }
    }

    /// Whether some view may still be filling.
    pub fn has_sources(&self) -> bool {
        self.sources
    }

    /// The views whose names occur in `sql`; all of them without.
    pub fn named_in(&self, sql: Option<&str>) -> Vec<View> {
        let Some(sql) = sql else { return self.views.clone() };
        let is_part = |c: char| c.is_alphanumeric() || c == '_';
        let words: Vec<&str> = sql.split(|c| !is_part(c)).collect();
        self.views.iter().filter(|view| words.contains(&view.name.trim_matches('"'))).cloned().collect()
    }

    /// A view that is no longer there must have been dropped by a statement of the file.
    pub fn forget(&mut self, view: &View) {
        assert!(self.dropped, "view {} vanished, and nothing was dropped", view.name);
        self.views.retain(|known| known != view);
    }
}

/// The words of a statement, each with where it ends.
struct Words<'a> {
    sql: &'a str,
    words: Vec<(&'a str, usize)>,
}

impl<'a> Words<'a> {
    fn new(sql: &'a str) -> Self {
        let start_of = |word: &str| word.as_ptr() as usize - sql.as_ptr() as usize;
        let words = sql.split_whitespace().map(|word| (word, start_of(word) + word.len())).collect();
        Words { sql, words }
    }

    fn start_with(&self, expected: &[&str]) -> bool {
        self.is(0, expected)
    }

    /// Whether these words stand at this place; a semicolon may follow the last one.
    fn is(&self, at: usize, expected: &[&str]) -> bool {
        let same = |((word, _), e): (&(&str, usize), &&str)| word.trim_end_matches(';').eq_ignore_ascii_case(e);
        self.words.len() >= at + expected.len() && self.words[at..].iter().zip(expected).all(same)
    }
}

/// `CREATE [OR REPLACE] MATERIALIZED VIEW [IF NOT EXISTS] name [WITH (..)] AS query [clauses]`.
fn definition(words: &Words) -> Option<View> {
    let mut at = 0;
    let mut eat = |expected: &[&str]| {
        let found = words.words[at..].iter().zip(expected).filter(|((word, _), e)| word.eq_ignore_ascii_case(e)).count() == expected.len();
        at += if found { expected.len() } else { 0 };
        found
    };
    if !eat(&["CREATE"]) {
        return None;
    }
    eat(&["OR", "REPLACE"]);
    if !eat(&["MATERIALIZED", "VIEW"]) {
        return None;
    }
    eat(&["IF", "NOT", "EXISTS"]);
    let (name, name_end) = words.words.get(at)?;
    let is_options = |at: usize| words.is(at, &["WITH"]) && words.words.get(at + 1).is_some_and(|(word, _)| word.starts_with('('));
    let mut query = at + 1;
    if is_options(query) {
        query += words.words[query..].iter().position(|(word, _)| word.eq_ignore_ascii_case("AS"))?;
    }
    let (_, start) = words.words.get(query).filter(|(word, _)| word.eq_ignore_ascii_case("AS"))?;
    let is_clause = |at: usize| words.is(at, &["ALLOW", "LATENESS"]) || EMITS.iter().any(|emit| words.is(at, emit));
    let clauses = (query + 1..words.words.len()).find(|at| is_clause(*at) || is_options(*at)).unwrap_or(words.words.len());
    let (_, end) = words.words[clauses - 1];
    let text = words.sql[*start..end].trim().trim_end_matches(';').to_string();
    let told = format!("{} {}", &words.sql[*name_end..*start], &words.sql[end..]).to_uppercase();
    let windows = match (told.contains("RETENTION"), (clauses..words.words.len()).any(is_clause)) {
        (true, _) => Windows::Go,
        (false, true) => Windows::Close,
        (false, false) => Windows::Stay,
    };
    Some(View { name: name.to_string(), query: text, windows })
}

/// How a clause begins that says when windows are shown.
const EMITS: [&[&str]; 3] = [&["EMIT", "ON"], &["EMIT", "CHANGES"], &["EMIT", "FINAL"]];

impl View {
    /// Whether it has all that its query answers.
    async fn is_whole(&self, client: &Client) -> Result<bool, Failed> {
        let late = match self.name.strip_suffix('"') {
            Some(name) => format!("{name}$late\""),
            None => format!("{}$late", self.name),
        };
        Ok(match self.windows {
            Windows::Stay => true,
            Windows::Close => {
                let sql = format!("SELECT 1 FROM {late} LIMIT 1");
                match client.simple_query(&sql).await {
                    Ok(messages) => !messages.iter().any(|message| matches!(message, SimpleQueryMessage::Row(_))),
                    // Its windows never close, or it is gone.
                    Err(error) if error.code().is_some_and(|code| code.code() == "42P01") => true,
                    Err(error) => return Err(format!("{sql}: {}", describe(&error)).into()),
                }
            }
            Windows::Go => false,
        })
    }

    /// Compares the view with its query, if it has all that this answers. False: the view does not exist any more.
    pub async fn check(&self, client: &Client) -> Result<bool, Failed> {
        if !self.is_whole(client).await? {
            return Ok(true);
        }
        let held = format!("SELECT * FROM {}", self.name);
        let deadline = Instant::now() + PATIENCE;
        loop {
            // Asked first: if nothing was filling before both reads, then they must agree.
            let settled = !filling(client).await?;
            let incremental = match Table::read(client, &held).await {
                Err(error) if error.code().is_some_and(|code| code.code() == "42P01") => return Ok(false),
                other => other.map_err(|e| format!("reading view {}: {}", self.name, describe(&e)))?,
            };
            let batch = Table::read(client, &self.query).await.map_err(|e| format!("{}: {}", self.query, describe(&e)))?;
            match incremental.difference(batch) {
                None => return Ok(true),
                Some(difference) if settled || Instant::now() > deadline => {
                    return Err(format!("view {} is not what its query answers\n[SQL] {}\n{difference}", self.name, self.query).into());
                }
                Some(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }
}

fn describe(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(db) => format!("{} {}", db.code().code(), db.message()),
        None => error.to_string(),
    }
}

/// Whether any view still takes in what its sources hold.
pub async fn filling(client: &Client) -> Result<bool, Failed> {
    let messages = client.simple_query("SELECT name FROM weir.views WHERE filling").await?;
    Ok(messages.iter().any(|message| matches!(message, SimpleQueryMessage::Row(_))))
}

/// The answer to a query, as text.
struct Table {
    columns: Vec<(String, Type)>,
    rows: Vec<Vec<Option<String>>>,
}

impl Table {
    async fn read(client: &Client, sql: &str) -> Result<Table, tokio_postgres::Error> {
        let statement = client.prepare(sql).await?;
        let columns = statement.columns().iter().map(|column| (column.name().to_string(), column.type_().clone())).collect();
        let mut rows = Vec::new();
        for message in client.simple_query(sql).await? {
            if let SimpleQueryMessage::Row(row) = message {
                rows.push((0..row.len()).map(|i| row.get(i).map(str::to_string)).collect());
            }
        }
        Ok(Table { columns, rows })
    }

    /// What is different, in words; `None` when both hold the same rows equally often.
    fn difference(self, batch: Table) -> Option<String> {
        if self.columns != batch.columns {
            return Some(format!("columns of the view:  {:?}\ncolumns of the query: {:?}", self.columns, batch.columns));
        }
        let mut counts: HashMap<Vec<Option<String>>, i64> = HashMap::new();
        for row in self.rows {
            *counts.entry(row).or_default() += 1;
        }
        for row in batch.rows {
            *counts.entry(row).or_default() -= 1;
        }
        let copies = |sign: i64| {
            let chosen = counts.iter().filter(move |(_, count)| **count * sign > 0);
            chosen.flat_map(move |(row, count)| std::iter::repeat_n(row, (*count * sign) as usize)).collect::<Vec<_>>()
        };
        let mut only_batch = copies(-1);
        let mut only_view = Vec::new();
        // What differs as text may still be equal as floats.
        for row in copies(1) {
            match only_batch.iter().position(|other| equal(&self.columns, row, other)) {
                Some(found) => drop(only_batch.swap_remove(found)),
                None => only_view.push(row),
            }
        }
        if only_view.is_empty() && only_batch.is_empty() {
            return None;
        }
        Some(format!("{}{}", list("only in the view", only_view), list("only in the batch answer", only_batch)))
    }
}

fn list(title: &str, mut rows: Vec<&Vec<Option<String>>>) -> String {
    rows.sort();
    let show = |row: &&Vec<Option<String>>| {
        let values: Vec<&str> = row.iter().map(|value| value.as_deref().unwrap_or("NULL")).collect();
        format!("    {}\n", values.join(" | "))
    };
    let shown: String = rows.iter().take(SHOWN).map(show).collect();
    format!("{title}: {} rows\n{shown}", rows.len())
}

fn equal(columns: &[(String, Type)], a: &[Option<String>], b: &[Option<String>]) -> bool {
    columns.iter().zip(a.iter().zip(b)).all(|((_, ty), (a, b))| match (a, b) {
        (Some(a), Some(b)) => a == b || tolerance(ty).is_some_and(|tolerance| near(a, b, tolerance)),
        (a, b) => a == b,
    })
}

/// How far two sums of the same floats in another order may be apart, relative to their size.
fn tolerance(ty: &Type) -> Option<f64> {
    match *ty {
        Type::FLOAT8 => Some(1e-9),
        Type::FLOAT4 => Some(1e-5),
        _ => None,
    }
}

fn near(a: &str, b: &str, tolerance: f64) -> bool {
    match (a.parse::<f64>(), b.parse::<f64>()) {
        (Ok(a), Ok(b)) => (a - b).abs() <= tolerance * a.abs().max(b.abs()),
        _ => false,
    }
}
