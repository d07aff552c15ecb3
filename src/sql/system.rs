//! The system as relations and functions, for one statement of one session: schemas `weir`, `pg_catalog` and
//! `information_schema`.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, LazyLock, OnceLock};

use arrow::datatypes::{Field, SchemaRef};
use arrow::record_batch::RecordBatch;
use datafusion::catalog::TableProvider;
use datafusion::logical_expr::ScalarUDF;
use datafusion::sql::sqlparser::ast;
use weir_common::error::Result;
use weir_common::types::PgType;

use crate::catalog::{Catalog, WEIR};
use crate::context::{System, SystemTable};
use crate::pg_catalog::{self, ColumnInfo, Kind, RelationInfo, SessionFacts, SystemCatalog};

/// A relation of schema `weir`, computed when it is scanned.
#[derive(Clone)]
pub struct WeirTable {
    /// Its name.
    pub name: &'static str,
    /// Its columns.
    pub schema: SchemaRef,
    /// Its rows.
    pub rows: Arc<dyn Fn() -> Result<RecordBatch> + Send + Sync>,
}

/// The OID of the first relation of schema `weir`; they are numbered in the order in which they are given.
const FIRST_OID: u32 = 15_000;

/// The relations of schema `weir`, put together when something asks.
type LazyTables = LazyLock<Vec<WeirTable>, Box<dyn FnOnce() -> Vec<WeirTable> + Send>>;

/// What one statement is told about the system; the relations and the session's facts are put together only when something asks.
pub struct SessionSystem {
    catalog: Catalog,
    weir: LazyTables,
    base: Box<dyn Fn() -> SessionFacts + Send + Sync>,
    facts: OnceLock<Arc<SessionFacts>>,
    functions: OnceLock<Vec<Arc<ScalarUDF>>>,
}

impl fmt::Debug for SessionSystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionSystem").finish_non_exhaustive()
    }
}

/// The names of the functions that know the session, so that other names cost nothing.
static FUNCTION_NAMES: LazyLock<HashSet<String>> =
    LazyLock::new(|| pg_catalog::functions(&Arc::default()).iter().map(|function| function.name().to_string()).collect());

impl SessionSystem {
    /// For one statement: `weir` gives the relations of that schema, `base` the session's facts without the catalog.
    pub fn new(
        catalog: Catalog,
        weir: impl FnOnce() -> Vec<WeirTable> + Send + 'static,
        base: impl Fn() -> SessionFacts + Send + Sync + 'static,
    ) -> Self {
        SessionSystem {
            catalog,
            weir: LazyLock::new(Box::new(weir)),
            base: Box::new(base),
            facts: OnceLock::new(),
            functions: OnceLock::new(),
        }
    }

    fn facts(&self) -> &Arc<SessionFacts> {
        self.facts.get_or_init(|| {
            let mut catalog = SystemCatalog::from(&self.catalog);
            catalog.relations.extend(self.weir.iter().enumerate().map(|(at, table)| described(at, table)));
            Arc::new(SessionFacts { catalog, ..(self.base)() })
        })
    }
}

/// A relation of schema `weir` as clients that list relations see it.
fn described(at: usize, table: &WeirTable) -> RelationInfo {
    let column = |field: &Arc<Field>| ColumnInfo {
        name: field.name().clone(),
        ty: PgType::of_field(field),
        not_null: false,
        default: None,
        comment: None,
    };
    RelationInfo {
        oid: FIRST_OID + at as u32,
        schema: WEIR.to_string(),
        name: table.name.to_string(),
        kind: Kind::View,
        columns: table.schema.fields().iter().map(column).collect(),
        primary_key: None,
        checks: Vec::new(),
        definition: None,
        comment: None,
        foreign: None,
        depends_on: Vec::new(),
        bytes: 0,
    }
}

impl System for SessionSystem {
    fn table(&self, schema: &str, name: &str) -> Option<Arc<dyn TableProvider>> {
        if schema == WEIR {
            let table = self.weir.iter().find(|table| table.name == name)?.clone();
            return Some(Arc::new(SystemTable::new(table.schema, move || (table.rows)())));
        }
        pg_catalog::table(self.facts(), schema, name)
    }

    fn tables(&self, schema: &str) -> Vec<String> {
        if schema == WEIR {
            return self.weir.iter().map(|table| table.name.to_string()).collect();
        }
        pg_catalog::schema(self.facts(), schema).map(|schema| schema.table_names()).unwrap_or_default()
    }

    fn rewrite(&self, query: &mut ast::Query) -> Result<()> {
        if pg_catalog::needs_rewrite(query) { pg_catalog::rewrite(query, self.facts()) } else { Ok(()) }
    }

    fn function(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        if !FUNCTION_NAMES.contains(name) {
            return None;
        }
        self.functions.get_or_init(|| pg_catalog::functions(self.facts())).iter().find(|function| function.name() == name).cloned()
    }
}
