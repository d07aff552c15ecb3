//! ALTER SOURCE and ALTER TABLE: how a watermark follows event times, while rows come.

use weir_common::error::{Error, Result, SqlState, nearest};
use weir_common::source::Watermark;
use weir_sql::catalog::{Relation, RelationKind};
use weir_sql::parser;
use weir_sql::statement::{Alter, AlterAction, ObjectKind, Parsed};

use crate::names;
use crate::pgwire::backend::{Notice, Outcome};
use crate::session::{Session, done};
use crate::statement::define::Verb;
use crate::statement::{define, dml, watermark};

/// How errors say it.
const ALTER: Verb = Verb { word: "ALTER", done: "altered", does: "change", kinds: &[ObjectKind::Table, ObjectKind::Source] };

/// ALTER SOURCE | TABLE .. SET .., RESET ..: all of it, or nothing.
pub async fn run(session: &mut Session, parsed: &Parsed, alter: &Alter) -> Result<Outcome> {
    let tag = format!("ALTER {}", alter.kind.noun().to_uppercase());
    dml::refuse_if_read_only(session, &tag)?;
    let name = names::relation(&alter.name)?;
    let database = session.database.clone();
    let definitions = database.definitions().await;
    let catalog = definitions.catalog();
    let Some(relation) = catalog.by_name(&name) else {
        if alter.if_exists {
            session.notify(Notice::notice(format!("{} \"{name}\" does not exist, skipping", alter.kind.noun())));
            return Ok(done(tag));
        }
        let error = catalog.missing(&name);
        return Err(error.with_message(format!("{} \"{name}\" does not exist", alter.kind.noun())));
    };
    define::check_kind(relation, alter.kind, &ALTER)?;
    let mut relation: Relation = (**relation).clone();
    let mut watermark = declared(&relation)?;
    for action in &alter.actions {
        watermark = act(session, parsed, &mut relation, watermark, action).await?;
    }
    match &mut relation.kind {
        RelationKind::Source(source) => source.watermark = Some(watermark),
        RelationKind::Table(table) => table.watermark = Some(watermark),
        _ => return Err(Error::internal("only a source or table has a watermark of its own")),
    }
    definitions.set_watermark(relation, watermark).await?;
    define::note(session, format!("{tag} {name}"));
    Ok(done(tag))
}

/// The watermark that a relation has.
fn declared(relation: &Relation) -> Result<Watermark> {
    let watermark = match &relation.kind {
        RelationKind::Source(source) => source.watermark,
        RelationKind::Table(table) => table.watermark,
        _ => None,
    };
    watermark.ok_or_else(|| {
        let message = format!("{} \"{}\" has no watermark", relation.kind.word(), relation.name);
        Error::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message)
            .with_hint("Views are planned by it: create the relation anew, with WATERMARK FOR ts AS ts - INTERVAL '5 seconds'.")
    })
}

/// The watermark after an action; the relation's statement says the same then.
async fn act(
    session: &mut Session,
    parsed: &Parsed,
    relation: &mut Relation,
    before: Watermark,
    action: &AlterAction,
) -> Result<Watermark> {
    match action {
        AlterAction::Set(options) => {
            options.iter().try_for_each(|(name, option)| check(relation, name, option.position))?;
            let after = watermark::with_options(before, options)?;
            for (name, option) in options {
                relation.sql = parser::with_option(&relation.sql, name, Some(&option.value))?;
            }
            Ok(after)
        }
        AlterAction::Reset(names) => {
            let mut after = before;
            for (name, position) in names {
                check(relation, name, *position)?;
                after = watermark::without_option(after, name);
                relation.sql = parser::with_option(&relation.sql, name, None)?;
            }
            Ok(after)
        }
        AlterAction::Watermark(clause) => {
            let (column, delay) = watermark::clause(session, parsed, clause, &relation.columns).await?;
            if column != before.column {
                let [now, wanted] = [before.column, column].map(|column| &relation.columns[column].name);
                let message = format!("the event time of \"{}\" is \"{now}\" and cannot become \"{wanted}\"", relation.name);
                return Err(Error::unsupported(message).with_position(clause.position).with_hint(format!(
                    "Views are planned by it. Only the delay can change: WATERMARK FOR {now} AS {now} - INTERVAL '..'."
                )));
            }
            relation.sql = parser::with_watermark(&relation.sql, clause)?;
            Ok(Watermark { delay, ..before })
        }
    }
}

/// Refuses options that do not exist, and those that cannot change.
fn check(relation: &Relation, name: &str, position: usize) -> Result<()> {
    let RelationKind::Source(source) = &relation.kind else {
        let message = format!("a table has no option \"{name}\"");
        return Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message)
            .with_position(position)
            .with_hint("Of its watermark the delay can be changed: ALTER TABLE .. SET WATERMARK FOR ts AS ts - INTERVAL '..'."));
    };
    if watermark::OPTIONS.contains(&name) {
        return Ok(());
    }
    let connector = weir_connectors::CONNECTORS.iter().find(|connector| connector.name() == source.connector);
    let of_connector = connector.map_or(&[][..], |connector| connector.options());
    if name == "connector" || of_connector.contains(&name) {
        return Err(Error::unsupported(format!("option \"{name}\" of a source cannot be changed"))
            .with_position(position)
            .with_hint("Positions are of what is read now. Create another source, and views over it."));
    }
    let error = Error::new(SqlState::INVALID_PARAMETER_VALUE, format!("unknown option \"{name}\"")).with_position(position);
    Err(match nearest(name, watermark::OPTIONS) {
        Some(near) => error.with_hint(format!("Perhaps you meant the option \"{near}\".")),
        None => error.with_hint(format!("Options that can be changed: {}.", watermark::OPTIONS.join(", "))),
    })
}
