//! Checkpoints and restarts in the middle of what a simulator does.

use fastrand::Rng;
use weir_common::plan::Node;
use weir_dataflow::lower::lower;
use weir_dataflow::simulator::{Interruption, Simulator};

/// The same simulator, which takes a checkpoint now and then, or starts again from one with another number of workers.
pub fn now_and_then(simulator: Simulator, root: &Node, seed: u64) -> Simulator {
    let (mut chance, root) = (Rng::with_seed(seed ^ 0x5EED), root.clone());
    simulator.interrupted(Box::new(move || match chance.u8(..6) {
        0 | 1 => Interruption::Checkpoint,
        2 => Interruption::Restart(Box::new(lower(&root, "v", chance.usize(1..=4)).expect("it was cut before"))),
        _ => Interruption::None,
    }))
}
