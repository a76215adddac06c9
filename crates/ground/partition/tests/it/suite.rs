use std::sync::Arc;

use cairn_env::Env;
use cairn_partition::conformance::{Subject, random, run};
use cairn_partition::{AnyPartitions, MemoryStore};

struct InMemory {
    env: Env,
    store: AnyPartitions,
}

impl Subject for InMemory {
    fn store(&self) -> AnyPartitions {
        Arc::clone(&self.store)
    }

    fn env(&self) -> Env {
        self.env.clone()
    }
}

async fn in_memory() -> InMemory {
    let env = Env::simulated(7);
    InMemory { store: Arc::new(MemoryStore::new(&env)), env }
}

#[tokio::test(start_paused = true)]
async fn memory_passes_the_suite() {
    run(in_memory).await;
}

#[tokio::test(start_paused = true)]
async fn memory_is_what_the_oracle_is() {
    for seed in 0..2000 {
        random(in_memory, seed, 200).await;
    }
}
