//! What is told of the memory of each operator adds up to what is told of the views.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use weir_common::clock::SystemClock;
use weir_common::delta::Delta;
use weir_common::epoch_log::Forgetful;
use weir_common::ids::RelationId;
use weir_common::limits::FILLING_ROWS_MAX;
use weir_common::state_store::MemoryStore;
use weir_dataflow::explain::explain;
use weir_dataflow::state::StateSize;

use super::{count, ints, rows, view};
use crate::engine::{CheckpointConfig, Engine, EngineConfig, TableSpec, TableWrite};
use crate::feed::FeedLimits;

#[tokio::test]
async fn the_sizes_of_operators_add_up_to_those_of_their_view() {
    for workers in [1, 3] {
        let store = Arc::new(MemoryStore::default());
        let checkpoints = Some(CheckpointConfig { store, interval: Duration::from_secs(3600), bytes: u64::MAX, slice_rows: 100 });
        let (clock, log) = (Arc::new(SystemClock), Box::new(Forgetful));
        let config = EngineConfig {
            workers,
            clock,
            log,
            filling_rows_max: FILLING_ROWS_MAX,
            recovery: None,
            checkpoints,
            memory_limit: None,
            feeds: FeedLimits::default(),
        };
        let (engine, _) = Engine::start(config).unwrap();
        let (table, by_key, schema) = (RelationId(20000), RelationId(20001), ints(&["k", "v"]));
        let spec = TableSpec { id: table, name: "t".into(), schema: schema.clone(), key: Some(vec![1]), key_name: None, watermark: None };
        engine.create_table(spec, None, vec![]).await.unwrap();
        let spec = view(&engine, by_key.0, &count(table, &schema, false), BTreeMap::new());
        let plan = spec.plan.clone();
        engine.create_view(spec, vec![]).await.unwrap();
        for from in [0, 500] {
            let many: Vec<Vec<i64>> = (from..from + 500).map(|row| vec![row % 100, row]).collect();
            engine.write(vec![TableWrite { table, delta: Delta::insert(rows(&schema, &many)) }]).await.unwrap();
            let status = engine.status().await.unwrap();
            let (mut operators, mut served) = (StateSize::default(), BTreeMap::new());
            for operator in &status.operators {
                match operator.fragment {
                    Some(fragment) => {
                        assert_eq!(operator.relation, by_key);
                        assert!(fragment < plan.fragments.len());
                        assert!(explain(&plan).contains(&*operator.operator), "{} is in EXPLAIN", operator.operator);
                        operators += operator.size;
                    }
                    None => assert!(served.insert(operator.relation, operator.size).is_none(), "served rows come once"),
                }
            }
            let of_view = &status.views[0];
            assert_eq!((operators.bytes as u64, operators.groups as u64), (of_view.state_bytes, of_view.groups), "{workers} workers");
            assert_eq!(served[&by_key].bytes as u64, of_view.served_bytes);
            assert!(of_view.state_bytes > 0 && served[&table].bytes > 0, "{workers} workers: {of_view:?}");
            assert!(operators.dirty_bytes > 0 && served.values().all(|served| served.dirty_bytes > 0), "nothing is in a checkpoint yet");
            engine.checkpoint().await.unwrap();
            let status = engine.status().await.unwrap();
            assert!(status.operators.iter().all(|operator| operator.size.dirty_bytes == 0), "all of it is in a checkpoint");
        }
        engine.stop();
    }
}
