//! CREATE TABLE, and CREATE TABLE AS.

use weir_common::error::{Error, Result, SqlState};
use weir_common::source::Watermark;
use weir_engine::TableSpec;
use weir_sql::catalog::{CheckDef, ColumnDef, Relation, RelationKind, TableDef};
use weir_sql::statement::{CreateTable, Parsed, TableQuery};

use crate::names;
use crate::pgwire::backend::Outcome;
use crate::session::{Session, done};
use crate::statement::{define, dml, query, watermark};

/// CREATE TABLE.
pub async fn create(session: &mut Session, parsed: &Parsed, create: &CreateTable) -> Result<Outcome> {
    dml::refuse_if_read_only(session, "CREATE TABLE")?;
    let name = names::relation(&create.name)?;
    if let Some(query) = &create.query {
        return create_as(session, parsed, create, name, query).await;
    }
    let mut columns = define::columns(&create.columns)?;
    let key = create.primary_key.as_ref().map(|key| key_columns(key, &mut columns)).transpose()?;
    check_defaults(session, parsed, &columns).await?;
    let watermark = match &create.watermark {
        Some(clause) => {
            let (column, delay) = watermark::clause(session, parsed, clause, &columns).await?;
            Some(Watermark::of(column, delay))
        }
        None => None,
    };
    let table = TableDef { key, key_name: create.primary_key_name.as_ref().map(names::ident), checks: vec![], watermark };
    let kind = RelationKind::Table(table);
    let id = session.catalog().next_id();
    let mut relation = Relation { id, name: name.clone(), kind, columns, sql: parsed.text.clone(), depends_on: vec![] };
    let checks = checks(session, parsed, create, &relation).await?;
    if let RelationKind::Table(table) = &mut relation.kind {
        table.checks = checks;
    }
    let database = session.database.clone();
    let definitions = database.definitions().await;
    if !define::should_create(session, &definitions.catalog(), &name, create.if_not_exists)? {
        return Ok(done("CREATE TABLE"));
    }
    relation.id = definitions.next_id();
    definitions.add_table(relation, vec![]).await?;
    define::note(session, format!("CREATE TABLE {name}"));
    Ok(done("CREATE TABLE"))
}

/// A table as the engine knows it.
pub fn spec(relation: &Relation) -> TableSpec {
    let key = relation.key().map(<[usize]>::to_vec);
    let watermark = match &relation.kind {
        RelationKind::Table(table) => table.watermark,
        _ => None,
    };
    TableSpec { id: relation.id, name: relation.name.clone(), schema: relation.schema(), key, key_name: relation.key_name(), watermark }
}

fn key_columns(key: &[weir_sql::ast::Ident], columns: &mut [ColumnDef]) -> Result<Vec<usize>> {
    let mut found = vec![];
    for ident in key {
        let name = names::ident(ident);
        let at = columns
            .iter()
            .position(|column| column.name == name)
            .ok_or_else(|| Error::new(SqlState::UNDEFINED_COLUMN, format!("column \"{name}\" named in key does not exist")))?;
        if columns[at].data_type.is_nested() {
            return Err(Error::unsupported(format!("column \"{name}\" of type {} cannot be part of a key", columns[at].ty.spelling())));
        }
        columns[at].not_null = true;
        found.push(at);
    }
    Ok(found)
}

/// A default that cannot be computed is refused here and not at the first INSERT.
async fn check_defaults(session: &mut Session, parsed: &Parsed, columns: &[ColumnDef]) -> Result<()> {
    let with_default: Vec<ColumnDef> = columns.iter().filter(|column| column.default.is_some()).cloned().collect();
    if with_default.is_empty() {
        return Ok(());
    }
    let relation = Relation {
        id: session.catalog().next_id(),
        name: String::new(),
        kind: RelationKind::Table(TableDef::default()),
        columns: with_default,
        sql: String::new(),
        depends_on: vec![],
    };
    let context = session.context(parsed).await?;
    (0..relation.columns.len()).try_for_each(|column| context.check_default(&relation, column))
}

/// The CHECK constraints, named as Postgres names them, and in the order in which it checks them: by name.
async fn checks(session: &mut Session, parsed: &Parsed, create: &CreateTable, relation: &Relation) -> Result<Vec<CheckDef>> {
    if create.checks.is_empty() {
        return Ok(vec![]);
    }
    let context = session.context(parsed).await?;
    let key_name = relation.key_name();
    let mut checks: Vec<CheckDef> = vec![];
    for spec in &create.checks {
        let columns = context.plan_check(relation, &spec.expr, &parsed.text)?;
        let is_check = |name: &str| checks.iter().any(|check| check.name == name);
        let is_key = |name: &str| key_name.as_deref() == Some(name);
        let name = match &spec.name {
            Some(name) => {
                let name = names::ident(name);
                let taken = match (is_check(&name), is_key(&name)) {
                    (true, _) => Some(format!("check constraint \"{name}\" already exists")),
                    (_, true) => Some(format!("constraint \"{name}\" for relation \"{}\" already exists", relation.name)),
                    _ => None,
                };
                match taken {
                    Some(message) => return Err(Error::new(SqlState::DUPLICATE_OBJECT, message).with_position(spec.position)),
                    None => name,
                }
            }
            None => {
                let base = match columns.as_slice() {
                    [column] => format!("{}_{}_check", relation.name, relation.columns[*column].name),
                    _ => format!("{}_check", relation.name),
                };
                let mut name = base.clone();
                let mut number = 0;
                while is_check(&name) || is_key(&name) {
                    number += 1;
                    name = format!("{base}{number}");
                }
                name
            }
        };
        checks.push(CheckDef { name, expr: spec.expr.to_string(), columns });
    }
    checks.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(checks)
}

async fn create_as(session: &mut Session, parsed: &Parsed, create: &CreateTable, name: String, from: &TableQuery) -> Result<Outcome> {
    let context = session.context(parsed).await?;
    let plan = query::plan(&context, &from.query, &parsed.text, &[])?;
    let names: Vec<String> = from.columns.iter().map(names::ident).collect();
    let columns = context.query_columns(&from.query, &parsed.text, &names)?;
    let snapshots = query::snapshots(session, &plan).await?;
    let rows = context.execute(&plan, &[], snapshots).await?.collect().await?;
    let database = session.database.clone();
    let definitions = database.definitions().await;
    if !define::should_create(session, &definitions.catalog(), &name, create.if_not_exists)? {
        return Ok(done("CREATE TABLE AS"));
    }
    let id = definitions.next_id();
    let kind = RelationKind::Table(TableDef::default());
    let relation = Relation { id, name: name.clone(), kind, columns, sql: parsed.text.clone(), depends_on: vec![] };
    let schema = relation.schema();
    let count: usize = rows.iter().map(|batch| batch.num_rows()).sum();
    let rows = rows.into_iter().map(|batch| batch.with_schema(schema.clone())).collect::<Result<Vec<_>, _>>()?;
    definitions.add_table(relation, rows).await?;
    define::note(session, format!("CREATE TABLE {name}"));
    Ok(done(format!("SELECT {count}")))
}
