//! ON CONFLICT: rows of an INSERT whose key is there already are left out, or become an update of the row that is there.
//!
//! Postgres takes the proposed rows one after the other; here all updates are computed at once, and then it is decided in
//! the rows' order which of them happen. Both are the same because one command changes a row once at most.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::record_batch::RecordBatch;
use arrow::row::{RowConverter, Rows, SortField};
use datafusion::common::{Column, ScalarValue, TableReference};
use datafusion::logical_expr::{Expr, LogicalPlanBuilder};
use datafusion::sql::sqlparser::ast::{self, ConflictTarget, Ident, OnConflictAction, OnInsert, Spanned};
use weir_common::error::{Error, Result, SqlState};

use crate::catalog::Relation;
use crate::context::{Context, SnapshotSource};
use crate::dml::constraint::describe_row;
use crate::dml::lookup;
use crate::dml::returning::table_columns;
use crate::dml::scope::{Scope, ScopedQuery};
use crate::dml::{Written, column_of};
use crate::names::{last_part, normalized};
use crate::parameter::Types;
use crate::read::QueryPlan;

/// What the proposed row is called in DO UPDATE.
const EXCLUDED: &str = "excluded";

/// What becomes of a row whose key is there already.
#[derive(Clone, Debug)]
pub(super) enum Conflict {
    /// Nothing.
    Nothing,
    /// The row that is there is changed: over that row and the proposed one, the query gives the row as it will be, or
    /// nothing where WHERE is not true.
    Update(Box<ScopedQuery>),
}

/// What the command has done to a key.
#[derive(Clone, Copy, PartialEq)]
enum Touched {
    /// It inserted the row with this key, or changed it.
    Mine,
    /// It gave the row with this key another key.
    Free,
}

impl Context {
    /// Plans ON CONFLICT; `None` where there is none, or nothing to conflict with.
    pub(super) fn plan_conflict(
        &self,
        insert: &ast::Insert,
        table: &Relation,
        qualifier: &Ident,
        sql: &str,
        types: &mut Types,
    ) -> Result<Option<Conflict>> {
        let Some(OnInsert::OnConflict(conflict)) = &insert.on else { return Ok(None) };
        if let Some(target) = &conflict.conflict_target {
            self.check_target(target, table, sql)?;
        }
        match &conflict.action {
            OnConflictAction::DoNothing => Ok(table.key().map(|_| Conflict::Nothing)),
            OnConflictAction::DoUpdate(update) => {
                if normalized(qualifier) == EXCLUDED {
                    let message = format!("table name \"{EXCLUDED}\" specified more than once");
                    return Err(Error::new(SqlState::DUPLICATE_ALIAS, message).with_hint("Give the table an alias: INSERT INTO t AS a."));
                }
                let changed = self.changed(table, qualifier, &update.assignments, sql)?;
                let excluded = TableReference::bare(EXCLUDED);
                let proposed = table.schema().fields().iter().map(|field| (Some(excluded.clone()), field.clone())).collect::<Vec<_>>();
                let scope = Scope::new(table_columns(table, qualifier).into_iter().chain(proposed).collect());
                let read = self.plan_scope(&scope, changed.items.clone(), update.selection.clone(), sql, types.known())?;
                types.learn(update, &read.parameters);
                let mut exprs = self.new_columns(table, &changed, &read.plan, insert.table.span(), sql)?;
                let number = read.plan.schema().fields().len() - 1;
                exprs.push(Expr::Column(Column::from(read.plan.schema().qualified_field(number))));
                let plan = LogicalPlanBuilder::from(read.plan.clone()).project(exprs).and_then(LogicalPlanBuilder::build);
                let plan = plan.map_err(|error| self.error(error, sql))?;
                Ok(Some(Conflict::Update(Box::new(ScopedQuery::new(scope, QueryPlan { plan, ..read }, table.schema())))))
            }
        }
    }

    /// The columns or the constraint that ON CONFLICT names must be the primary key: there is no other.
    fn check_target(&self, target: &ConflictTarget, table: &Relation, sql: &str) -> Result<()> {
        match target {
            ConflictTarget::Columns(names) => {
                let mut named = names.iter().map(|name| column_of(self, table, name, sql)).collect::<Result<Vec<_>>>()?;
                named.sort_unstable();
                named.dedup();
                let mut key = table.key().unwrap_or_default().to_vec();
                key.sort_unstable();
                if key.is_empty() || named != key {
                    let message = "there is no unique or exclusion constraint matching the ON CONFLICT specification";
                    let error = Error::new(SqlState::INVALID_COLUMN_REFERENCE, message);
                    return Err(match key_names(table) {
                        Some(names) => error.with_hint(format!("The table's only key is its primary key: ON CONFLICT ({names}).")),
                        None => error.with_hint("The table has no primary key."),
                    });
                }
                Ok(())
            }
            ConflictTarget::OnConstraint(name) => {
                let wanted = last_part(name);
                if table.key_name().as_ref() == Some(&wanted) {
                    return Ok(());
                }
                if table.checks().iter().any(|check| check.name == wanted) {
                    return Err(Error::new(SqlState::WRONG_OBJECT_TYPE, "constraint in ON CONFLICT clause has no associated index"));
                }
                let message = format!("constraint \"{wanted}\" for table \"{}\" does not exist", table.name);
                Err(Error::new(SqlState::UNDEFINED_OBJECT, message))
            }
        }
    }

    /// What an INSERT of these rows does to a table with this key.
    pub(super) async fn resolve(
        &self,
        conflict: &Conflict,
        table: &Relation,
        proposed: RecordBatch,
        parameters: &[ScalarValue],
        snapshots: &Arc<dyn SnapshotSource>,
    ) -> Result<Written> {
        let Some(key) = table.key() else { return Err(Error::internal("ON CONFLICT without a key")) };
        let keys = Keys::new(table, key)?;
        let of_proposed = keys.encode(&proposed)?;
        let there = lookup::rows_with_keys(&snapshots.snapshot(table.id)?, key, &proposed)?;
        let of_there = keys.encode(&there)?;
        let there_by_key: HashMap<&[u8], u32> = (0..there.num_rows()).map(|row| (of_there.row(row).data(), row as u32)).collect();

        let (updated, of_updated, by_proposed) = match conflict {
            Conflict::Nothing => (RecordBatch::new_empty(table.schema()), None, HashMap::new()),
            Conflict::Update(query) => {
                let met = |row: usize| Some((row as u32, *there_by_key.get(of_proposed.row(row).data())?));
                let (rows, existing): (Vec<u32>, Vec<u32>) = (0..proposed.num_rows()).filter_map(met).unzip();
                let count = rows.len();
                let columns: Vec<ArrayRef> = take_record_batch(&there, &UInt32Array::from(existing))?
                    .columns()
                    .iter()
                    .chain(take_record_batch(&proposed, &UInt32Array::from(rows.clone()))?.columns())
                    .cloned()
                    .collect();
                let (updated, of) = match count {
                    0 => (RecordBatch::new_empty(table.schema()), Vec::new()),
                    _ => self.run_scope(query, columns, count, parameters, snapshots).await?,
                };
                let by_proposed: HashMap<usize, usize> = of.iter().enumerate().map(|(at, pair)| (rows[*pair] as usize, at)).collect();
                let encoded = keys.encode(&updated)?;
                (updated, Some(encoded), by_proposed)
            }
        };

        let mut touched: HashMap<&[u8], Touched> = HashMap::new();
        let (mut old, mut new) = (Vec::new(), Vec::new());
        for row in 0..proposed.num_rows() {
            let key = of_proposed.row(row).data();
            let existing = there_by_key.get(key).copied();
            match (touched.get(key), existing, conflict) {
                (Some(Touched::Mine), _, Conflict::Nothing) | (None, Some(_), Conflict::Nothing) => {}
                (Some(Touched::Mine), _, Conflict::Update(_)) => return Err(twice()),
                (Some(Touched::Free), ..) | (None, None, _) => {
                    touched.insert(key, Touched::Mine);
                    new.push(row as u32);
                }
                (None, Some(existing), Conflict::Update(_)) => {
                    let (Some(at), Some(of_updated)) = (by_proposed.get(&row), &of_updated) else { continue };
                    let changed = of_updated.row(*at).data();
                    if changed != key {
                        let taken = match touched.get(changed) {
                            Some(touched) => *touched == Touched::Mine,
                            None => there_by_key.contains_key(changed) || keys.exists(table, &updated, *at, snapshots)?,
                        };
                        if taken {
                            return Err(keys.duplicate(table, &updated, *at)?);
                        }
                        touched.insert(key, Touched::Free);
                    }
                    touched.insert(changed, Touched::Mine);
                    old.push(existing);
                    new.push((proposed.num_rows() + at) as u32);
                }
            }
        }
        let old = take_record_batch(&there, &UInt32Array::from(old))?;
        let both = concat_batches(&table.schema(), [&proposed, &updated])?;
        let new = take_record_batch(&both, &UInt32Array::from(new))?;
        self.check_rows(table, &new)?;
        Ok(Written { rows: new.num_rows(), old: vec![old], new: vec![new], returned: None })
    }
}

fn twice() -> Error {
    Error::new(SqlState::CARDINALITY_VIOLATION, "ON CONFLICT DO UPDATE command cannot affect row a second time")
        .with_hint("Ensure that no rows proposed for insertion within the same command have duplicate constrained values.")
}

fn key_names(table: &Relation) -> Option<String> {
    let names = table.key()?.iter().map(|column| table.columns[*column].name.as_str());
    Some(names.collect::<Vec<_>>().join(", "))
}

/// The keys of rows, as bytes that are equal where the keys are.
struct Keys {
    columns: Vec<usize>,
    converter: RowConverter,
}

impl Keys {
    fn new(table: &Relation, key: &[usize]) -> Result<Keys> {
        let fields = key.iter().map(|column| SortField::new(table.columns[*column].data_type.clone())).collect();
        Ok(Keys { columns: key.to_vec(), converter: RowConverter::new(fields)? })
    }

    fn encode(&self, rows: &RecordBatch) -> Result<Rows> {
        let columns: Vec<ArrayRef> = self.columns.iter().map(|column| rows.column(*column).clone()).collect();
        Ok(self.converter.convert_columns(&columns)?)
    }

    /// Whether the table has a row with the key of this one.
    fn exists(&self, table: &Relation, rows: &RecordBatch, row: usize, snapshots: &Arc<dyn SnapshotSource>) -> Result<bool> {
        let found = lookup::rows_with_keys(&snapshots.snapshot(table.id)?, &self.columns, &rows.slice(row, 1))?;
        Ok(found.num_rows() > 0)
    }

    /// Postgres' error for a key that is there already.
    fn duplicate(&self, table: &Relation, rows: &RecordBatch, row: usize) -> Result<Error> {
        let constraint = table.key_name().unwrap_or_default();
        let (names, values) = (key_names(table).unwrap_or_default(), describe_row(&rows.project(&self.columns)?, row)?);
        Ok(Error::new(SqlState::UNIQUE_VIOLATION, format!("duplicate key value violates unique constraint \"{constraint}\""))
            .with_detail(format!("Key ({names})=({values}) already exists.")))
    }
}
