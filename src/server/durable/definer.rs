//! Logged definitions, back in the catalog and in the engine.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use weir_common::error::{Error, Result, SqlState};
use weir_common::expr::ExprRef;
use weir_common::ids::RelationId;
use weir_engine::recovery::{Definer, Made};
use weir_sql::catalog::{Catalog, Relation, RelationKind};
use weir_sql::lower::plan_condition;
use weir_sql::parser;
use weir_sql::statement::Statement;

use crate::durable::words;
use crate::statement::{table, view};

/// Builds the catalog up again, definition by definition.
pub struct CatalogDefiner {
    catalog: Arc<Mutex<Catalog>>,
    workers: usize,
}

impl CatalogDefiner {
    /// Starts with an empty catalog, which is shared with whoever wants it in the end.
    pub fn new(workers: usize) -> (Self, Arc<Mutex<Catalog>>) {
        let catalog = Arc::<Mutex<Catalog>>::default();
        (CatalogDefiner { catalog: catalog.clone(), workers }, catalog)
    }

    fn make(&self, words: &[u8]) -> Result<Made> {
        let mut relation = words::relation(words)?;
        let mut catalog = self.catalog.lock().unwrap_or_else(PoisonError::into_inner);
        let made = match &relation.kind {
            RelationKind::Table(_) => Made::Table(table::spec(&relation)),
            RelationKind::Source(source) => Made::Source(relation.id, source.watermark),
            RelationKind::View(_) | RelationKind::LateRows(_) => Made::Nothing,
            RelationKind::MaterializedView(_) => self.plan(&catalog, &mut relation)?,
        };
        *catalog = catalog.with(relation);
        Ok(made)
    }

    /// Plans a materialized view as it was planned when it was created: over the same catalog.
    fn plan(&self, catalog: &Catalog, relation: &mut Relation) -> Result<Made> {
        let parsed = parser::parse(&relation.sql)?.pop();
        let Some((parsed, Statement::CreateMaterializedView(create))) = parsed.as_ref().map(|parsed| (parsed, &parsed.statement)) else {
            return Err(Error::new(
                SqlState::DATA_CORRUPTED,
                format!("materialized view \"{}\" was not made by its statement", relation.name),
            ));
        };
        let positions = matches!(&relation.kind, RelationKind::MaterializedView(def) if def.late_positions);
        let plan = view::plan(catalog, &relation.name, parsed, create, positions)?;
        if plan.columns != relation.columns {
            return Err(Error::new(SqlState::DATA_CORRUPTED, format!("materialized view \"{}\" has other columns now", relation.name)));
        }
        let spec = view::spec(catalog, relation.id, &relation.name, &plan, self.workers)?;
        if let RelationKind::MaterializedView(def) = &mut relation.kind {
            (def.facts, def.late, def.admits_late, def.life) = (plan.promised, plan.late, plan.admits_late, plan.life);
        }
        Ok(Made::View(spec))
    }
}

impl Definer for CatalogDefiner {
    fn made(&mut self, words: &[u8], dropped: &BTreeSet<RelationId>) -> Result<Made> {
        let id = words::id(words)?;
        if dropped.contains(&id) {
            let mut catalog = self.catalog.lock().unwrap_or_else(PoisonError::into_inner);
            // A view's late rows have the next number.
            *catalog = catalog.with_used(RelationId(id.0 + 1));
            return Ok(Made::Nothing);
        }
        deep(|| self.make(words))
    }

    fn condition(&mut self, view: RelationId, words: &str) -> Result<Option<ExprRef>> {
        let catalog = self.catalog.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let late = catalog.by_id(view).and_then(|view| view.late());
        let late = late.ok_or_else(|| Error::new(SqlState::DATA_CORRUPTED, format!("relation {view} has no late rows to admit")))?;
        deep(|| plan_condition(&catalog, &late, words))
    }

    fn numbers_below(&mut self, next: RelationId) {
        let mut catalog = self.catalog.lock().unwrap_or_else(PoisonError::into_inner);
        *catalog = catalog.with_used(RelationId(next.0.max(RelationId::FIRST_USER.0) - 1));
    }

    fn dropped(&mut self, relations: &[RelationId]) {
        let mut catalog = self.catalog.lock().unwrap_or_else(PoisonError::into_inner);
        for id in relations {
            if catalog.by_id(*id).is_some() {
                *catalog = catalog.without(*id);
            }
        }
    }
}

/// Plans on a thread of its own: that needs a deeper stack than the engine's threads have.
fn deep<T: Send>(plan: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let planner = std::thread::Builder::new().name("recover".into()).stack_size(parser::STACK_BYTES_MIN);
        let planner = planner.spawn_scoped(scope, plan).map_err(|error| Error::internal(format!("no thread to plan: {error}")))?;
        planner.join().unwrap_or_else(|_| Err(Error::internal("planning a logged definition panicked")))
    })
}
