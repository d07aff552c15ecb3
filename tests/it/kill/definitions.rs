//! Tables and views that come and go during the load: each is wholly there or not at all.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fastrand::Rng;
use tokio_postgres::Client;

use crate::harness::{describe, rows, value};
use crate::kill::views;
use crate::kill::writers::ACCOUNTS;

const NAMES: [&str; 4] = ["made_a", "made_b", "made_c", "made_d"];
/// Fills a table in one go.
const PRODUCT: &str = "SELECT a.id * 10000 + b.id * 100 + c.id AS id FROM accounts a CROSS JOIN accounts b CROSS JOIN accounts c";

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Made {
    Table,
    /// CREATE TABLE AS.
    Filled,
    View(&'static str),
    Materialized(&'static str),
    /// Counts what the materialized view below has.
    Above,
}

const MADE: [Made; 8] = [
    Made::Table,
    Made::Filled,
    Made::Filled,
    Made::View("SELECT kind, count(*) AS n FROM raw GROUP BY kind"),
    Made::View("SELECT count(*) AS n FROM entries"),
    Made::Materialized("SELECT kind, count(*) AS n, sum(v) AS total FROM events GROUP BY kind"),
    Made::Materialized("SELECT window_start, sum(v) AS total FROM TUMBLE(events, at, INTERVAL '30 seconds') GROUP BY window_start"),
    Made::Materialized("SELECT version, count(*) AS n FROM entries GROUP BY version"),
];

type State = BTreeMap<String, Made>;

/// What was made.
#[derive(Default)]
pub struct Definitions {
    told: State,
    /// What is there if the last statement, of which nobody heard, was carried out.
    perhaps: Option<State>,
    pub acknowledged: u64,
}

impl Definitions {
    /// Creates and drops until the server is gone, or until it is told to stop.
    pub async fn go_on(mut self, client: Client, mut random: Rng, stop: Arc<AtomicBool>) -> Definitions {
        while !stop.load(Ordering::Relaxed) && self.once(&client, &mut random).await {}
        self
    }

    async fn once(&mut self, client: &Client, random: &mut Rng) -> bool {
        let name = NAMES[random.usize(..NAMES.len())];
        let above = format!("{name}_above");
        let mut after = self.told.clone();
        let sql = match self.told.get(name) {
            None => {
                let made = MADE[random.usize(..MADE.len())];
                after.insert(name.to_string(), made);
                made.create(name)
            }
            Some(Made::Materialized(_)) if !self.told.contains_key(&above) && random.bool() => {
                let made = Made::Above;
                after.insert(above.clone(), made);
                made.create(&above)
            }
            Some(Made::View(_)) if random.bool() => {
                let made = Made::View("SELECT count(*) AS n, max(id) AS id FROM raw");
                after.remove(name);
                after.insert(name.to_string(), made);
                format!("DROP VIEW {name}; {}", made.create(name))
            }
            Some(made) => {
                after.remove(name);
                after.remove(&above);
                format!("DROP {} {name} CASCADE", made.kind())
            }
        };
        // Two statements are two definitions.
        for (sql, after) in sql.split("; ").zip(if sql.contains("; ") { vec![self.without(name), after] } else { vec![after] }) {
            self.perhaps = Some(after.clone());
            match client.batch_execute(sql).await {
                Ok(()) => {
                    self.acknowledged += 1;
                    self.told = after;
                    self.perhaps = None;
                }
                Err(error) if error.code().is_none() => return false,
                Err(error) => panic!("{sql}: {}", describe(&error)),
            }
        }
        true
    }

    fn without(&self, name: &str) -> State {
        self.told.iter().filter(|(other, _)| *other != name).map(|(other, made)| (other.clone(), *made)).collect()
    }

    /// What there is, is what was told, or that and what nobody heard of; and each of it is whole.
    pub async fn settle(&mut self, client: &Client) {
        let sql = "SELECT relname, relkind FROM pg_class WHERE relname LIKE 'made%' AND relkind IN ('r', 'v', 'm') ORDER BY relname";
        let found: Vec<(String, String)> = rows(client, sql).await.into_iter().map(|row| (row[0].clone(), row[1].clone())).collect();
        let is = |state: &State| state.iter().map(|(name, made)| (name.clone(), made.letter().to_string())).collect::<Vec<_>>() == found;
        let perhaps = self.perhaps.take().filter(is);
        assert!(perhaps.is_some() || is(&self.told), "there is {found:?}, and not {:?}", self.told);
        // One that was dropped and one that was not made look alike only where they are.
        self.told = if is(&self.told) { std::mem::take(&mut self.told) } else { perhaps.expect("just seen") };
        for (name, made) in &self.told {
            match made {
                Made::Table => assert_eq!(value(client, &format!("SELECT count(*) FROM {name}")).await, "0"),
                Made::Filled => {
                    let expected = ACCOUNTS.pow(3).to_string();
                    let found = rows(client, &format!("SELECT count(*), count(DISTINCT id) FROM {name}")).await;
                    assert_eq!(found, [[expected.clone(), expected]], "{name} was filled when it was created");
                }
                Made::View(_) | Made::Materialized(_) | Made::Above => views::check(client, name, &made.query(name)).await,
            }
        }
        let count = self.told.values().filter(|made| made.letter() == "m").count() + views::VIEWS.len();
        assert_eq!(value(client, "SELECT count(*) FROM weir.views").await, count.to_string(), "views that nobody made");
    }
}

impl Made {
    fn kind(self) -> &'static str {
        match self {
            Made::Table | Made::Filled => "TABLE",
            Made::View(_) => "VIEW",
            Made::Materialized(_) | Made::Above => "MATERIALIZED VIEW",
        }
    }

    /// `pg_class.relkind`
    fn letter(self) -> &'static str {
        match self {
            Made::Table | Made::Filled => "r",
            Made::View(_) => "v",
            Made::Materialized(_) | Made::Above => "m",
        }
    }

    fn query(self, name: &str) -> String {
        match self {
            Made::Table => String::new(),
            Made::Filled => PRODUCT.to_string(),
            Made::View(query) | Made::Materialized(query) => query.to_string(),
            Made::Above => format!("SELECT count(*) AS n FROM {}", name.trim_end_matches("_above")),
        }
    }

    fn create(self, name: &str) -> String {
        match self {
            Made::Table => format!("CREATE TABLE {name} (id BIGINT PRIMARY KEY, v BIGINT)"),
            _ => format!("CREATE {} {name} AS {}", self.kind(), self.query(name)),
        }
    }
}
